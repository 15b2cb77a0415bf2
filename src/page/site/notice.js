// What is not going well just now: the server's words, the seconds until it is tried again, and
// a button for the impatient. It lies over the list, so that nothing moves. Whoever listens to the
// page is told the words once, and not the seconds.

import { byId } from "./dom.js";

export class Notice {
  #box = byId("notice");
  #timer = 0;
  #told = "";
  #leave;

  /** `retry` is called by the button, `leave` when it goes away while it has the focus. */
  constructor(retry, leave) {
    this.#leave = leave;
    this.#box.querySelector("button").addEventListener("click", retry);
  }

  /** Tells of a problem that is tried again at a moment, or not by itself. */
  show(problem, until) {
    clearInterval(this.#timer);
    const [text, time] = this.#box.querySelectorAll("span");
    const tell = () => {
      const seconds = Math.ceil((until - Date.now()) / 1000);
      // What is tried may take its time.
      time.textContent = seconds > 0 ? `Trying again in ${seconds} s` : "Trying again…";
    };
    const words = lasting(problem.message);
    if (this.#told !== words) text.textContent = problem.message;
    this.#told = words;
    this.#box.hidden = false;
    if (until === undefined) {
      time.textContent = "";
      return;
    }
    tell();
    this.#timer = setInterval(tell, 1000);
  }

  get isShown() {
    return !this.#box.hidden;
  }

  hide() {
    clearInterval(this.#timer);
    const hadFocus = this.#box.contains(document.activeElement);
    this.#box.hidden = true;
    this.#told = "";
    if (hadFocus) this.#leave();
  }
}

/** What is the same at each attempt: without the request's id, and without seconds. */
function lasting(message) {
  return message.replace(/ \(request \w+\)$/, "").replace(/\bin \d+ s\b/, "");
}
