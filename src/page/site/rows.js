// The list on the screen: a window of rows over however many people, each row at its place, and
// the keys that move through them.

import { element, value } from "./dom.js";
import { ago, emailOf, hueOf, initialsOf, isActive, nameOf } from "./words.js";

/** Pixels; the style sheet has the same number. */
const HEIGHT = 60;
/** Rows that exist at most: the list is never higher than what they fill. */
export const POOL = 28;
const MARGIN = 2;
/** Places that stand behind the last loaded person while more are on their way. */
const WAITING = 20;

export class Rows {
  #box;
  #canvas;
  #people;
  #slots = [];
  #active = -1;
  #activeId;
  #opened;
  #isLoading = true;
  #open;
  #frame = 0;

  /** `open` is called with a person that was chosen, and whether by a key. */
  constructor(box, canvas, open) {
    this.#box = box;
    this.#canvas = canvas;
    this.#open = open;
    box.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#soon()).observe(box);
    box.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("click", (event) => this.#click(event));
    canvas.addEventListener("pointerover", ({ target }) => tellWhole(target));
    box.addEventListener("focus", () => this.#focused());
  }

  /** Shows other people, or the same ones anew. */
  show(people, { isNew }) {
    const moved = isNew ? 0 : this.#moved(people);
    this.#people = people;
    this.#isLoading = false;
    if (isNew) {
      this.#box.scrollTop = 0;
      this.#active = -1;
      this.#activeId = undefined;
    } else if (this.#activeId) {
      // Whoever is pointed at stays so, wherever a change has moved them.
      const index = people.indexOf(this.#activeId);
      if (index >= 0) this.#active = index;
    }
    this.#render(moved);
  }

  /**
   * By how many rows those who are seen have moved: so far the list is scrolled, so that nobody is
   * clicked in the place of another. At the top new people come into sight instead.
   */
  #moved(people) {
    const top = this.#box.scrollTop;
    if (top === 0) return 0;
    const seen = this.#slots.filter((slot) => slot?.user && slot.index >= Math.floor(top / HEIGHT));
    seen.sort((one, other) => one.index - other.index);
    for (const { index, user } of seen) {
      const now = people.indexOf(user.id);
      const isSame = people.at(now)?.meta?.lastModified === user.meta?.lastModified;
      // Whoever has changed themselves may have moved for that.
      if (now >= 0 && isSame) return now - index;
    }
    return 0;
  }

  /** Shows that people are being looked for. */
  wait() {
    this.#people = undefined;
    this.#isLoading = true;
    this.#render();
  }

  /** Marks the person whose panel is open. */
  mark(id) {
    this.#opened = id;
    if (id) this.#activeId = id;
    const index = id && this.#people ? this.#people.indexOf(id) : -1;
    if (index >= 0) this.#active = index;
    this.#render();
  }

  /** Time has gone by: how long ago somebody changed reads otherwise. */
  tick() {
    for (const slot of this.#slots) if (slot) date(slot);
  }

  focus() {
    this.#box.focus();
  }

  /** Opens the first person. */
  openFirst() {
    if (!this.#people?.at(0)) return;
    this.#active = 0;
    this.#choose(true);
  }

  get #count() {
    if (!this.#people) return this.#isLoading ? POOL : 0;
    const behind = this.#people.hasMore ? WAITING : 0;
    return Math.min(this.#people.length + behind, Math.max(this.#people.total, this.#people.length));
  }

  #soon() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render(moved = 0) {
    const count = this.#count;
    this.#canvas.style.height = `${count * HEIGHT}px`;
    if (moved !== 0) this.#box.scrollTop += moved * HEIGHT;
    const height = this.#box.clientHeight;
    const seen = Math.floor(this.#box.scrollTop / HEIGHT);
    const first = Math.max(0, seen - MARGIN);
    const end = Math.min(count, seen + Math.ceil(height / HEIGHT) + MARGIN, first + POOL);
    const used = new Set();
    for (let index = first; index < end; index += 1) {
      used.add(index % POOL);
      this.#fill(index);
    }
    for (const [number, slot] of this.#slots.entries()) {
      if (slot && !used.has(number)) {
        slot.row.remove();
        this.#slots[number] = undefined;
      }
    }
    this.#point();
    if (this.#people && end > first) this.#people.see(first, end - 1);
  }

  #fill(index) {
    const number = index % POOL;
    const slot = (this.#slots[number] ??= this.#make(number));
    const user = this.#people?.at(index);
    if (slot.index !== index) {
      slot.index = index;
      slot.row.style.transform = `translateY(${index * HEIGHT}px)`;
      // For paper, where they stand below each other.
      slot.row.style.order = index;
    }
    slot.row.setAttribute("aria-posinset", index + 1);
    slot.row.setAttribute("aria-setsize", this.#people?.total ?? -1);
    const isPointed = index === this.#active;
    slot.row.setAttribute("aria-selected", String(isPointed));
    slot.row.classList.toggle("pointed", isPointed);
    slot.row.classList.toggle("opened", user !== undefined && user.id === this.#opened);
    if (slot.user !== user || !slot.isFilled) {
      slot.isFilled = true;
      slot.user = user;
      this.#write(slot, user);
    }
    date(slot);
  }

  #write(slot, user) {
    const { row } = slot;
    row.classList.toggle("waiting", user === undefined);
    row.classList.toggle("fresh", user?.isFresh === true);
    // Once: not again when somebody scrolls back.
    if (user) user.isFresh = false;
    row.classList.toggle("inactive", user !== undefined && !isActive(user));
    slot.avatar.style.setProperty("--hue", user ? hueOf(user.id) : 0);
    slot.avatar.textContent = user ? initialsOf(user) : "";
    slot.name.textContent = user ? nameOf(user) : "";
    slot.email.textContent = user ? emailOf(user) || user.userName : "";
    slot.name.title = slot.email.title = "";
    slot.status.textContent = user ? (isActive(user) ? "Active" : "Inactive") : "";
    if (user) row.removeAttribute("aria-hidden");
    else row.setAttribute("aria-hidden", "true");
  }

  #make(number) {
    const slot = {
      avatar: element("span", "avatar"),
      name: value("span", "name", ""),
      email: value("span", "email", ""),
      status: element("span", "status"),
      changed: element("span", "changed"),
    };
    slot.avatar.setAttribute("aria-hidden", "true");
    slot.row = element("div", "row", slot.avatar, slot.name, slot.email, slot.status, slot.changed);
    slot.row.id = `row-${number}`;
    slot.row.setAttribute("role", "option");
    this.#canvas.append(slot.row);
    return slot;
  }

  /** Tells which row the keys are at, as long as it exists. */
  #point() {
    const slot = this.#slots[Math.max(this.#active, 0) % POOL];
    if (this.#active >= 0 && slot?.index === this.#active && slot.user) {
      this.#box.setAttribute("aria-activedescendant", slot.row.id);
    } else {
      this.#box.removeAttribute("aria-activedescendant");
    }
  }

  /** Points at somebody in sight: whoever has scrolled stays there. */
  #focused() {
    if (this.#active >= 0 || !this.#people?.length) return;
    const first = Math.ceil(this.#box.scrollTop / HEIGHT);
    this.#move(Math.min(first, this.#people.length - 1));
  }

  #click(event) {
    const slot = this.#slots.find((one) => one?.row.contains(event.target));
    if (!slot?.user) return;
    this.#move(slot.index);
    this.#choose(false);
  }

  #choose(isByKey) {
    const user = this.#people?.at(this.#active);
    if (!user) return;
    this.#activeId = user.id;
    this.#open(user, isByKey);
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.#people?.length) return;
    const page = Math.max(1, Math.floor(this.#box.clientHeight / HEIGHT) - 1);
    const last = this.#people.length - 1;
    const steps = {
      ArrowDown: this.#active + 1,
      ArrowUp: this.#active - 1,
      PageDown: this.#active + page,
      PageUp: this.#active - page,
      Home: 0,
      End: last,
    };
    if (event.key in steps) {
      event.preventDefault();
      this.#move(Math.min(Math.max(steps[event.key], 0), last));
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#choose(true);
    }
  }

  #move(index) {
    this.#active = index;
    this.#activeId = this.#people.at(index)?.id;
    const top = index * HEIGHT;
    const box = this.#box;
    if (top < box.scrollTop) box.scrollTop = top;
    const bottom = top + HEIGHT - box.clientHeight;
    if (bottom > box.scrollTop) box.scrollTop = bottom;
    this.#render();
  }
}

/** What is cut can be read whole by whoever points at it. */
function tellWhole(shown) {
  if (!shown.matches(".name, .email")) return;
  shown.title = shown.scrollWidth > shown.clientWidth ? shown.textContent : "";
}

function date(slot) {
  const changed = slot.user ? ago(slot.user.meta?.lastModified) : "";
  if (slot.changed.textContent !== changed) slot.changed.textContent = changed;
}
