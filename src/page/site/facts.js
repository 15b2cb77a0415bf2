// Everything that is known of a person as lines of a name and a value.

import { emailOf, isActive, moment } from "./words.js";

/** What stands at the top of the panel, or is of no use to a person. */
const ELSEWHERE = new Set(["schemas", "id", "externalId", "meta", "active"]);
const ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/**
 * The facts that everybody has: label, value, what a button beside it copies, and the moment that
 * the value tells of.
 */
export function mainFacts(user) {
  const email = emailOf(user);
  const facts = [["Email", email || "–", email ? "Email" : undefined]];
  if (user.userName !== email) facts.push(["User name", user.userName, undefined]);
  facts.push(
    ["Status", isActive(user) ? "Active" : "Inactive", undefined],
    ["Id", user.id, "Id"],
    ["External id", user.externalId ?? "–", user.externalId && "External id"],
    ["Created", moment(user.meta?.created), undefined, user.meta?.created],
    ["Changed", moment(user.meta?.lastModified), undefined, user.meta?.lastModified],
  );
  return facts;
}

/** All attributes, flattened: pairs of a path and a text. */
export function allFacts(user) {
  const facts = [];
  for (const [name, part] of Object.entries(user)) {
    if (!ELSEWHERE.has(name)) flatten(label(name), part, facts);
  }
  return facts;
}

function label(name) {
  if (name === ENTERPRISE) return "enterprise";
  return name.startsWith("urn:") ? name.split(":").slice(-2).join(":") : name;
}

function flatten(path, part, facts) {
  if (Array.isArray(part)) {
    part.forEach((one, index) => flatten(path + marks(one, index, part.length), one, facts));
  } else if (part !== null && typeof part === "object") {
    for (const [name, inner] of Object.entries(part)) {
      if (isMark(name, part)) continue;
      flatten(name === "value" ? path : `${path}.${name}`, inner, facts);
    }
  } else {
    facts.push([path, String(part)]);
  }
}

/** What tells the values of a list apart stands in their name. */
function isMark(name, part) {
  return "value" in part && (name === "type" || name === "primary");
}

function marks(one, index, length) {
  const told = one && typeof one === "object" && "value" in one;
  const words = told ? [one.type, one.primary && "primary"].filter(Boolean) : [];
  if (words.length > 0) return ` (${words.join(", ")})`;
  return length > 1 ? ` ${index + 1}` : "";
}
