// Looking each two seconds whether anything has changed: not in a hidden tab, and less often
// while it fails.

/** A little less than two seconds, so that with the request itself it is not more. */
const PERIOD_MILLISECONDS = 1900;
const PERIOD_MILLISECONDS_MAX = 30_000;
/** A look that takes long is waited after for so many times as long as it took. */
const LONG_TIMES = 3;
/** The longest wait that a server may ask for: a page that stands still for longer seems broken. */
const RETRY_AFTER_SECONDS_MAX = 60;

export class Live {
  #look;
  #failed;
  #timer = 0;
  #failures = 0;
  #isRunning = false;
  #isLooking = false;

  /**
   * `look` is called each time; `failed` with what it throws, and when it is tried again, if it
   * is.
   */
  constructor(look, failed) {
    this.#look = look;
    this.#failed = failed;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) clearTimeout(this.#timer);
      else if (this.#isRunning) this.now();
    });
  }

  start() {
    this.#isRunning = true;
    this.#failures = 0;
    this.#after(PERIOD_MILLISECONDS);
  }

  stop() {
    this.#isRunning = false;
    clearTimeout(this.#timer);
  }

  /** Looks at once. */
  async now() {
    clearTimeout(this.#timer);
    if (this.#isLooking || !this.#isRunning) return;
    this.#isLooking = true;
    const began = performance.now();
    try {
      await this.#look();
      this.#failures = 0;
      // From one beginning to the next. What takes the server long, such as an order by name of
      // very many people, is asked for less often: many may look at once.
      const took = performance.now() - began;
      const wait = Math.max(PERIOD_MILLISECONDS - took, LONG_TIMES * took);
      this.#after(Math.min(wait, PERIOD_MILLISECONDS_MAX));
    } catch (problem) {
      this.report(problem);
    } finally {
      this.#isLooking = false;
    }
  }

  /** Something else has failed: looks again when it may be over. */
  report(problem) {
    if (!this.#isRunning) return;
    if (problem.isFinal) {
      clearTimeout(this.#timer);
      this.#failed(problem, undefined);
      return;
    }
    this.#failures += 1;
    const grown = PERIOD_MILLISECONDS * 2 ** Math.min(this.#failures - 1, 6);
    const wait = problem.retryAfter
      ? Math.min(problem.retryAfter, RETRY_AFTER_SECONDS_MAX) * 1000
      : Math.min(grown, PERIOD_MILLISECONDS_MAX);
    this.#after(wait);
    this.#failed(problem, Date.now() + wait);
  }

  #after(milliseconds) {
    clearTimeout(this.#timer);
    if (!this.#isRunning || document.hidden) return;
    this.#timer = setTimeout(() => this.now(), milliseconds);
  }
}
