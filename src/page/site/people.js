// The list of people as far as it was looked at: pages by cursor, each with the cursor that it
// was asked for with, so that it can be asked for again.
//
//   pages   [ "" | 28 rows ] ─▶ [ cursor | 100 rows ] ─▶ …      each knows the next one's cursor
//   poll    the first page, if the directory has changed; the others become stale, and are asked
//           for again where they are seen

import { POOL } from "./rows.js";

const PAGE = 100;
/** The page that is waited for has what is seen, and no more. */
const FIRST_PAGE = POOL;
/** So many rows before the end the next page is asked for, by whoever scrolls or stays. */
const AHEAD = 60;
const SHOWN = "attributes=userName,name,displayName,emails,active,meta.lastModified";

export class People {
  #client;
  #changed;
  #failed;
  #pages = [];
  #starts = [];
  #tag;
  /** The tag that `everybody` is of. */
  #counted;
  #asking;
  #isWalking = false;
  /** A page did not come: it is asked for again by the next poll, not by each scrolling. */
  #isOwed = false;
  #seen = [0, 0];
  /** Counts the first pages that came: what was asked for before the newest is out of date. */
  #beginnings = 0;
  query;
  total = 0;
  /** How many people there are at all. */
  everybody = 0;

  /** `changed` is called when there is something else to show, `failed` with what went wrong. */
  constructor(client, changed, failed) {
    this.#client = client;
    this.#changed = changed;
    this.#failed = failed;
  }

  /** How many people are loaded. */
  get length() {
    const last = this.#pages.length - 1;
    return last < 0 ? 0 : this.#starts[last] + this.#pages[last].rows.length;
  }

  /** Whether there is more behind them. */
  get hasMore() {
    return this.#pages.at(-1)?.next !== undefined;
  }

  /** Whether everybody is listed. */
  get isWhole() {
    return this.query.text === "" && this.query.status === "all";
  }

  /** The person at a place, from 0; undefined for one that is not loaded. */
  at(index) {
    const page = this.#pageOf(index);
    return this.#pages[page]?.rows[index - this.#starts[page]];
  }

  /** The place of a person who is loaded, or -1. */
  indexOf(id) {
    for (const [number, page] of this.#pages.entries()) {
      const at = page.rows.findIndex((row) => row.id === id);
      if (at >= 0) return this.#starts[number] + at;
    }
    return -1;
  }

  /** Begins another list. Of two that were begun, only the newer one comes to be shown. */
  async begin(query) {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.query = query;
    try {
      const answer = await this.#client.get(this.#path(""), { signal: asking.signal });
      if (asking.signal.aborted) return false;
      this.#pages = [];
      this.#replaceFirst(answer);
      this.#asking = undefined;
      this.#isOwed = false;
      this.#changed({ isNew: true });
      return true;
    } catch (error) {
      if (asking.signal.aborted) return false;
      this.#asking = undefined;
      throw error;
    }
  }

  /** What the directory was like when the first page came: another one after each change. */
  get tag() {
    return this.#tag;
  }

  /**
   * Looks whether anything has changed, and for pages that did not come before. False if another
   * list is being asked for, so that nothing is known of that.
   */
  async poll() {
    if (this.#asking || this.#pages.length === 0) return false;
    const before = this.query;
    const answer = await this.#client.get(this.#path(""), { tag: this.#tag });
    if (before !== this.query || this.#asking) return false;
    if (answer !== null) {
      const known = new Set(this.#pages.flatMap((page) => page.rows.map(stamp)));
      this.#replaceFirst(answer);
      for (const row of this.#pages[0].rows) row.isFresh = !known.has(stamp(row));
      this.#changed({ isNew: false });
    }
    if (this.#counted !== this.#tag) await this.#count();
    await this.#walk(AHEAD);
    return before === this.query && !this.#asking;
  }

  /** Counts everybody, since a list of some does not say how many there are. */
  async #count() {
    const [before, tag] = [this.query, this.#tag];
    const { document } = await this.#client.get("/Users?count=0");
    // What would be shown are the rows of the list before.
    if (before !== this.query || this.#asking) return;
    this.#counted = tag;
    if (document.totalResults === this.everybody) return;
    this.everybody = document.totalResults;
    this.#changed({ isNew: false });
  }

  /** The places from `first` to `last` are looked at: loads what is missing there. */
  async see(first, last) {
    this.#seen = [first, last];
    if (this.#isOwed) return;
    try {
      await this.#walk(first > 0 ? AHEAD : 1);
    } catch (error) {
      this.#failed(error);
    }
  }

  async #walk(ahead) {
    if (this.#isWalking) return;
    this.#isWalking = true;
    try {
      while (await this.#step(ahead)) this.#changed({ isNew: false });
      this.#isOwed = false;
    } catch (error) {
      this.#isOwed = true;
      throw error;
    } finally {
      this.#isWalking = false;
    }
  }

  /** Loads one page that is needed; false if there is none. */
  async #step(ahead) {
    const beginnings = this.#beginnings;
    const stale = this.#pages.findIndex((page, number) => page.isStale && this.#isSeen(number));
    const isShort = this.hasMore && this.#seen[1] + ahead >= this.length;
    if (this.#asking || (stale < 0 && !isShort)) return false;
    const cursor = stale < 0 ? this.#pages.at(-1).next : this.#pages[stale].cursor;
    const { document } = await this.#client.get(this.#path(cursor));
    // Its place may be another one by now: what is missing is found anew.
    if (beginnings !== this.#beginnings) return true;
    if (this.#asking) return false;
    const number = stale < 0 ? this.#pages.length : stale;
    this.#replace(number, cursor, document);
    return true;
  }

  #replaceFirst({ document, tag }) {
    this.#tag = tag;
    this.#beginnings += 1;
    for (const page of this.#pages) page.isStale = true;
    this.#replace(0, "", document);
  }

  #replace(number, cursor, document) {
    const next = document.nextCursor;
    const before = this.#pages[number]?.rows ?? [];
    this.#pages[number] = { cursor, rows: document.Resources ?? [], next, isStale: false };
    const following = this.#pages[number + 1];
    if (following && next === undefined) this.#pages.length = number + 1;
    else if (following) {
      following.cursor = next;
      // It begins elsewhere now, maybe with those whom others have pushed over the end.
      following.isStale = true;
      if (this.#isSeen(number + 1)) {
        const { rows } = this.#pages[number];
        const here = new Set(rows.map(({ id }) => id));
        const kept = following.rows.filter(({ id }) => !here.has(id));
        // Nobody was pushed over an end that somebody has newly come to, from the following page.
        const last = rows.at(-1)?.id;
        const stays = before.some(({ id }) => id === last);
        following.rows = [...(stays ? pushed(before, rows, here) : []), ...kept];
      }
    }
    this.total = document.totalResults;
    if (this.isWhole) {
      this.everybody = this.total;
      this.#counted = this.#tag;
    }
    let start = 0;
    this.#starts = this.#pages.map((page) => {
      start += page.rows.length;
      return start - page.rows.length;
    });
  }

  /** Whether somebody of a page is at a place that is looked at. */
  #isSeen(number) {
    const [first, last] = this.#seen;
    return number >= this.#pageOf(first) && this.#starts[number] <= last;
  }

  #pageOf(index) {
    let page = Math.min(Math.floor(index / PAGE), this.#pages.length - 1);
    while (page > 0 && this.#starts[page] > index) page -= 1;
    while (page + 1 < this.#pages.length && this.#starts[page + 1] <= index) page += 1;
    return Math.max(page, 0);
  }

  #path(cursor) {
    const { text, status, by, isDescending } = this.query;
    const parameters = new URLSearchParams({
      count: cursor === "" ? FIRST_PAGE : PAGE,
      cursor,
      sortBy: by,
      sortOrder: isDescending ? "descending" : "ascending",
    });
    if (text) parameters.set("search", text);
    const active = "active eq true";
    if (status === "active") parameters.set("filter", active);
    if (status === "inactive") parameters.set("filter", `not (${active})`);
    return `/Users?${parameters}&${SHOWN}`;
  }
}

/** Who of a page was behind the last one that stayed in it. Whoever else is missing was deleted. */
function pushed(before, rows, here) {
  const were = new Set(before.map(({ id }) => id));
  const last = rows.findLast(({ id }) => were.has(id));
  const behind = before.slice(before.findIndex(({ id }) => id === last?.id) + 1);
  return behind.filter(({ id }) => !here.has(id));
}

function stamp(row) {
  return `${row.id} ${row.meta?.lastModified}`;
}
