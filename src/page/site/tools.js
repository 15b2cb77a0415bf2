// Search, status and order above the list: what they say, as a query.

import { byId, isComposing } from "./dom.js";

const DEBOUNCE_MILLISECONDS = 150;

export class Tools {
  #search = byId("search");
  #status = byId("status");
  #sort = byId("sort");
  #order = byId("order");
  #isDescending = true;
  #timer = 0;
  #changed;

  /** `changed` is called when another list is wanted, `enter` and `down` for these keys. */
  constructor({ changed, enter, down }) {
    this.#changed = changed;
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#now(), DEBOUNCE_MILLISECONDS);
    });
    this.#search.addEventListener("keydown", (event) => {
      if (isComposing(event)) return;
      if (event.key === "ArrowDown") {
        event.preventDefault();
        down();
      } else if (event.key === "Enter") {
        // Whoever types and presses Enter means what was typed, not what is still shown.
        if (this.#timer) this.#now();
        enter();
      }
    });
    this.#status.addEventListener("change", () => this.#now());
    this.#sort.addEventListener("change", () => {
      // What was changed last comes first, names from A.
      this.#isDescending = this.#sort.value === "meta.lastModified";
      this.#now();
    });
    this.#order.addEventListener("click", () => {
      this.#isDescending = !this.#isDescending;
      this.#now();
    });
    this.#name();
  }

  /** What is asked for. */
  get query() {
    return {
      // Cells of a spreadsheet have a tab between them.
      text: this.#search.value.replace(/\p{Cc}+/gu, " ").trim(),
      status: this.#status.querySelector("input:checked").value,
      by: this.#sort.value,
      isDescending: this.#isDescending,
    };
  }

  /** Looks for everybody again. */
  clear() {
    this.#status.querySelector("input").checked = true;
    this.clearText();
  }

  /** Looks for everybody of this status again. */
  clearText() {
    this.#search.value = "";
    this.#now();
  }

  /** The same without a word to anybody. */
  reset() {
    this.#unset();
    this.#search.value = "";
    this.#status.querySelector("input").checked = true;
    this.#sort.selectedIndex = 0;
    this.#isDescending = true;
    this.#name();
  }

  focus() {
    this.#search.focus();
    this.#search.select();
  }

  #now() {
    this.#unset();
    this.#name();
    this.#changed();
  }

  #unset() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #name() {
    this.#order.textContent = this.#isDescending ? "↓" : "↑";
    const order = this.#isDescending ? "Descending" : "Ascending";
    this.#order.setAttribute("aria-label", `${order}: reverse the order`);
    this.#order.title = order;
  }
}
