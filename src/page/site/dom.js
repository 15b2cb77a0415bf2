// Making and finding elements. Whatever a value holds, it gets into the page as text.

/** The element of this id, which `index.html` has. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element: its class, its text or its children. */
export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** The same for a value that somebody else chose: it has its own direction. */
export function value(tag, className, text) {
  const made = element(tag, className, text);
  made.dir = "auto";
  return made;
}

/** A button that does this; its name stays when its text changes for a moment. */
export function button(className, text, action, label) {
  const made = element("button", className, text);
  made.type = "button";
  made.name = label ?? text;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}

/**
 * Whether a key chooses among the characters of an input method: not for the page. In Safari the
 * one that ends it comes after it, with a code that says so.
 */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Tells people who listen to the page. */
export function say(text) {
  const said = byId("said");
  // The same words twice are told twice.
  said.textContent = "";
  setTimeout(() => {
    said.textContent = text;
  }, 50);
}

/** Buttons that say what became of their last pressing. Disabled they would lose the focus. */
const telling = new Set();

/** Copies a text, and says so on the button. */
export async function copy(from, what, text) {
  if (telling.has(from)) return;
  telling.add(from);
  const before = from.textContent;
  let told = "Copied";
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    told = "Failed";
    say("The browser does not allow copying");
  }
  from.textContent = told;
  setTimeout(() => {
    from.textContent = before;
    telling.delete(from);
  }, 1500);
}
