// How people, numbers and moments are written.

const NUMBER = new Intl.NumberFormat("en");
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
/** Not in each browser that has the rest. */
const CLUSTERS = Intl.Segmenter && new Intl.Segmenter("en");

export function number(count) {
  return NUMBER.format(count);
}

/** What to call somebody: as they want to be called, else by the parts of the name. */
export function nameOf(user) {
  const name = user.name ?? {};
  const parts = [name.givenName, name.familyName].map(said).filter(Boolean).join(" ");
  return said(user.displayName) || said(name.formatted) || parts || user.userName;
}

/** Spaces alone say nothing. */
function said(text) {
  return text?.trim();
}

/** The primary address, else the first, else the userName if it looks like one. */
export function emailOf(user) {
  const emails = user.emails ?? [];
  const chosen = emails.find((email) => email.primary) ?? emails[0];
  return chosen?.value ?? (user.userName.includes("@") ? user.userName : "");
}

/** Of whom nothing is said counts as inactive, as for the commands. */
export function isActive(user) {
  return user.active === true;
}

/** One or two characters, whatever the script. */
export function initialsOf(user) {
  const words = nameOf(user)
    .split(/[\s.@_-]+/u)
    .filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map(first).join("").toLocaleUpperCase("en") || "?";
}

/** What people take for the first character, or at least its first code point. */
function first(word) {
  const [cluster] = CLUSTERS ? CLUSTERS.segment(word) : [{ segment: [...word][0] }];
  return cluster.segment;
}

/** A hue that stays with a person, in degrees. */
export function hueOf(id) {
  let hash = 0;
  for (const character of id) hash = (hash * 31 + character.charCodeAt(0)) % 3600;
  // Twelve that are well apart.
  return (hash % 12) * 30;
}

/** A moment in full, with the time zone that it is told in. */
export function moment(text) {
  return text ? MOMENT.format(new Date(text)) : "–";
}

/** How long ago, in a word or two; a day if it is long. */
export function ago(text, now = Date.now()) {
  if (!text) return "";
  const seconds = Math.max(0, (now - Date.parse(text)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  const days = Math.round((midnight(now) - midnight(text)) / 86_400_000);
  // A day has 25 hours once a year.
  if (seconds < 86400 || days < 1) return `${Math.floor(seconds / 3600)} h ago`;
  if (days < 7) return days === 1 ? "yesterday" : `${days} days ago`;
  return DAY.format(new Date(text));
}

/** The beginning of a day, here, in milliseconds. */
function midnight(moment) {
  return new Date(moment).setHours(0, 0, 0, 0);
}
