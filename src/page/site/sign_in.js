// The form that asks for a token, and where the token is: in this module for as long as the
// tab shows the page, and in the tab's own storage if that was wished.

import { byId, copy } from "./dom.js";

const KEY = "golinks-scim-token";

/** The token of this tab, if one is kept. */
export function kept() {
  return stored((storage) => storage.getItem(KEY));
}

export function forget() {
  stored((storage) => storage.removeItem(KEY));
}

/** What is done with the tab's storage; nothing, where the browser is told to store nothing. */
function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

export class SignIn {
  #view = byId("sign-in");
  #token = byId("token");
  #show = byId("show-token");
  #error = byId("sign-in-error");
  #enter = byId("enter");
  #keep = byId("keep");
  #isEntering = false;

  /** `enter` is called with a token; what it throws is shown. */
  constructor(enter) {
    byId("sign-in-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(enter);
    });
    this.#show.addEventListener("click", () => this.#reveal(this.#token.type === "password"));
    byId("copy-command").addEventListener("click", (event) => {
      copy(event.currentTarget, "Command", byId("command").textContent);
    });
  }

  show(problem) {
    this.#view.hidden = false;
    this.#keep.checked = false;
    this.tell(problem);
    this.#token.focus();
  }

  hide() {
    this.#view.hidden = true;
    this.#token.value = "";
    this.#reveal(false);
    this.tell(undefined);
  }

  tell(problem) {
    this.#error.textContent = problem ? problem.message : "";
    this.#token.setAttribute("aria-invalid", String(problem?.isOfToken === true));
  }

  async #submit(enter) {
    const token = plain(this.#token.value);
    if (token === "") {
      this.#token.focus();
      return;
    }
    // Not disabled: a button that has the focus would lose it.
    if (this.#isEntering) return;
    this.#isEntering = true;
    this.#enter.textContent = "Signing in…";
    try {
      await enter(token);
      // Not the one from before either.
      if (this.#keep.checked) stored((storage) => storage.setItem(KEY, token));
      else forget();
    } catch (problem) {
      this.tell(problem);
      this.#token.focus();
      this.#token.select();
    } finally {
      this.#isEntering = false;
      this.#enter.textContent = "Sign in";
    }
  }

  #reveal(isShown) {
    this.#token.type = isShown ? "text" : "password";
    this.#show.textContent = isShown ? "Hide" : "Show";
    this.#show.setAttribute("aria-pressed", String(isShown));
  }
}

/** What was pasted, without what pasting brings along; a header takes nothing but ASCII. */
function plain(text) {
  return text
    .trim()
    .replace(/^bearer\s+/i, "")
    .replace(/[^\x21-\x7e]/g, "?");
}
