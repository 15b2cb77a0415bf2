// The panel of one person.

import { button, byId, copy, element, value } from "./dom.js";
import { allFacts, mainFacts } from "./facts.js";
import { hueOf, initialsOf, isActive, nameOf } from "./words.js";

const TITLE = document.title;
/** Attributes with a line of their own; what is beyond stands in one text. */
const LINES_MAX = 12;

export class Person {
  #panel = byId("panel");
  #client;
  #close;
  #id;
  #tag;
  #text;
  /** What the directory was like when the person was asked for. */
  #followed;
  #asking;

  constructor(client, close) {
    this.#client = client;
    this.#close = close;
    this.#empty();
  }

  get id() {
    return this.#id;
  }

  /**
   * Shows a person; `known` is what the list has of them already. False if no answer came to be
   * shown.
   */
  async open(id, known) {
    this.#id = id;
    this.#tag = undefined;
    this.#text = undefined;
    this.#followed = undefined;
    document.body.classList.add("has-person");
    const wait = element("div", "lines", ...Array.from({ length: 7 }, () => element("span")));
    wait.setAttribute("aria-hidden", "true");
    this.#fill(this.#head(known ?? { id, userName: "" }, known !== undefined), wait);
    this.#panel.setAttribute("aria-busy", "true");
    return this.#refresh();
  }

  /** Shows the person as they are in a directory of this tag, or what did not come before. */
  async follow(tag) {
    const id = this.#id;
    if (!id || this.#followed === tag) return;
    const came = await this.#refresh();
    // Who was closed and opened again meanwhile is asked for by another look.
    if ((came || isStep(id)) && this.#id === id) this.#followed = tag;
  }

  async #refresh() {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const id = this.#id;
    if (isStep(id)) {
      this.#sayNobody();
      return false;
    }
    try {
      const path = `/Users/${encodeURIComponent(id)}`;
      const answer = await this.#client.get(path, { signal: asking.signal, tag: this.#tag });
      if (answer && !asking.signal.aborted) this.#show(answer);
    } catch (error) {
      if (!asking.signal.aborted) this.#tell(error);
    }
    return !asking.signal.aborted;
  }

  /** Tells why a person is not shown; throws what may be over when they are asked for again. */
  #tell(problem) {
    if (problem.status === 404) {
      this.#sayNobody();
      return;
    }
    const isNew = this.#text === undefined;
    if (isNew) this.#say("This person cannot be shown", problem.message);
    // What was refused for its id is told of here alone.
    if (!isNew || problem.status !== 400) throw problem;
  }

  close() {
    this.#asking?.abort();
    this.#id = undefined;
    document.body.classList.remove("has-person");
    this.#empty();
  }

  focus() {
    this.#panel.querySelector("h2")?.focus();
  }

  #show({ document: user, tag, text }) {
    const isSame = this.#text !== undefined;
    const { scrollTop } = this.#panel;
    const restTop = this.#rest?.scrollTop;
    this.#tag = tag;
    this.#text = text;
    this.#panel.removeAttribute("aria-busy");
    const parts = [this.#facts(user), this.#actions(user), ...attributes(user)];
    this.#fill(this.#head(user, true), ...parts);
    if (!isSame) return;
    // Whoever is reading stays where they are.
    this.#panel.scrollTop = scrollTop;
    if (this.#rest && restTop) this.#rest.scrollTop = restTop;
  }

  get #rest() {
    return this.#panel.querySelector(".rest");
  }

  /** Puts something else into the panel. What had the focus there has it again, or the heading. */
  #fill(...parts) {
    const had = document.activeElement;
    const isHere = had !== this.#panel && this.#panel.contains(had);
    this.#panel.replaceChildren(...parts);
    if (!isHere) return;
    const controls = [...this.#panel.querySelectorAll("button, [tabindex]")];
    const same = controls.find((one) => one.tagName === had.tagName && one.name === had.name);
    (same ?? this.#panel.querySelector("h2"))?.focus({ preventScroll: true });
  }

  #head(user, isKnown) {
    const avatar = element("span", "avatar large", isKnown ? initialsOf(user) : "");
    avatar.style.setProperty("--hue", hueOf(user.id));
    avatar.setAttribute("aria-hidden", "true");
    const name = value("h2", "", isKnown ? nameOf(user) : "Loading…");
    name.tabIndex = -1;
    const close = button("quiet close", "✕", this.#close, "Close");
    this.#panel.classList.toggle("inactive", isKnown && !isActive(user));
    document.title = isKnown ? `${nameOf(user)} – ${TITLE}` : TITLE;
    return element("header", "", avatar, name, close);
  }

  #facts(user) {
    const list = element("dl", "facts");
    for (const [label, text, copied, told] of mainFacts(user)) {
      const time = told && element("time", "", text);
      if (time) time.dateTime = told;
      const shown = value("dd", label === "Id" ? "code" : "", time || text);
      if (label === "Status") shown.className = isActive(user) ? "status" : "status off";
      list.append(element("dt", "", label), shown);
      if (!copied) continue;
      const copying = (event) => copy(event.currentTarget, copied, text);
      shown.append(" ", button("quiet small", "Copy", copying, `Copy ${copied.toLowerCase()}`));
    }
    return list;
  }

  #actions(user) {
    const link = `${location.origin}/directory/#/person/${encodeURIComponent(user.id)}`;
    const json = () => JSON.stringify(JSON.parse(this.#text), null, 2);
    return element(
      "div",
      "actions",
      button("quiet", "Copy link", (event) => copy(event.currentTarget, "Link", link)),
      button("quiet", "Copy JSON", (event) => copy(event.currentTarget, "JSON", json())),
    );
  }

  #say(title, text) {
    this.#text = undefined;
    this.#panel.removeAttribute("aria-busy");
    const close = button("quiet close", "✕", this.#close, "Close");
    const name = element("h2", "", title);
    name.tabIndex = -1;
    const head = element("header", "plain", name, close);
    this.#panel.classList.remove("inactive");
    document.title = TITLE;
    this.#fill(head, element("p", "muted", text));
  }

  #sayNobody() {
    this.#tag = undefined;
    this.#say("There is no such person", "The person was deleted, or the link is incomplete.");
  }

  #empty() {
    this.#text = undefined;
    document.title = TITLE;
    const words = element("p", "muted", "Select a person to see everything known about them.");
    this.#panel.removeAttribute("aria-busy");
    this.#fill(element("div", "choose", words));
  }
}

function attributes(user) {
  const facts = allFacts(user);
  const list = element("dl", "facts all");
  for (const [path, text] of facts.slice(0, LINES_MAX)) {
    list.append(element("dt", "", path), value("dd", "", text));
  }
  const parts = [element("h3", "", "Attributes"), list];
  const rest = facts.slice(LINES_MAX).map(([path, text]) => `${path}: ${text}`);
  if (rest.length > 0) {
    const text = value("pre", "rest", rest.join("\n"));
    text.tabIndex = 0;
    text.setAttribute("role", "region");
    text.setAttribute("aria-label", "More attributes");
    parts.push(text);
  }
  return parts;
}

/** No path names these: a browser takes them for steps in it. */
function isStep(id) {
  return id === "." || id === "..";
}
