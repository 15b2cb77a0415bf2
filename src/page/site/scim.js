// The client of the SCIM API: one request, one answer, and what the server says of a failure.

const BASE = "/scim/v2";
const PATIENCE_MILLISECONDS = 30_000;

/** A request that did not succeed. `status` is 0 where there was no answer. */
export class Problem extends Error {
  /** Whether whoever asked has no use for asking the same again. */
  isFinal = false;

  constructor(status, detail, { retryAfter, scimType, isScim = false } = {}) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
    this.scimType = scimType;
    this.isScim = isScim;
  }

  /** Whether a cursor is no longer good: the list must be begun again. */
  get isOfCursor() {
    return this.scimType === "expiredCursor" || this.scimType === "invalidCursor";
  }

  /** Whether the token is not, or no longer, good for this page, in the server's own words. */
  get isOfToken() {
    return this.isScim && (this.status === 401 || this.status === 403);
  }
}

export class Client {
  #token;

  constructor(token) {
    this.#token = token;
  }

  /**
   * Asks for what is at `path`. With the tag of an answer that is there already: `null` where
   * nothing has changed. Gives the document, its tag, and its text.
   */
  async get(path, { signal, tag } = {}) {
    const headers = { Authorization: `Bearer ${this.#token}`, Accept: "application/scim+json" };
    if (tag) headers["If-None-Match"] = tag;
    // By hand: `AbortSignal.any` is younger than the browsers that the page is for.
    const ending = new AbortController();
    const timer = setTimeout(() => ending.abort(), PATIENCE_MILLISECONDS);
    signal?.addEventListener("abort", () => ending.abort());
    let response;
    let text;
    try {
      response = await fetch(BASE + path, {
        headers,
        signal: ending.signal,
        // The page keeps what it needs; nothing of people goes into the browser's cache.
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
      text = await response.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem(0, "The server cannot be reached.");
    } finally {
      clearTimeout(timer);
    }
    if (response.status === 304) return null;
    if (!response.ok) throw problemOf(response, text);
    return { document: parsed(text), tag: response.headers.get("ETag"), text };
  }
}

function parsed(text) {
  const document = scimOf(text);
  if (document) return document;
  throw new Problem(0, "The answer came from something between this page and the server.");
}

/** The document that a text is, if it names its schemas as each of SCIM does (RFC 7643 section 3). */
function scimOf(text) {
  try {
    const document = JSON.parse(text);
    return document?.schemas ? document : undefined;
  } catch {
    return undefined;
  }
}

function problemOf(response, text) {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const error = scimOf(text);
  const told = error?.detail ?? `The server answered with status ${response.status}.`;
  return new Problem(response.status, told, {
    // What is no time to wait is none that was asked for.
    retryAfter: seconds > 0 ? seconds : undefined,
    scimType: error?.scimType,
    isScim: error !== undefined,
  });
}
