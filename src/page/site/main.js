// The page: who is signed in, which list is shown, whose panel is open, and what the address
// says of that.

import { byId, isComposing } from "./dom.js";
import { Live } from "./live.js";
import { Notice } from "./notice.js";
import { People } from "./people.js";
import { Person } from "./person.js";
import { Rows } from "./rows.js";
import { Client } from "./scim.js";
import { SignIn, forget, kept } from "./sign_in.js";
import { Tools } from "./tools.js";
import { number } from "./words.js";

const LOADING_MILLISECONDS = 400;
const PERSON = "#/person/";
const GOING_BACK_MILLISECONDS_MAX = 1000;
/** Below this width the panel covers the list. */
const NARROW = matchMedia("(max-width: 1099px)");

const browse = byId("browse");
const nobody = byId("nobody");
const rows = new Rows(byId("list"), byId("rows"), choose);
const tools = new Tools({
  changed: () => list(),
  enter: () => openFirst(),
  down: () => rows.focus(),
});
const signIn = new SignIn(enter);
const live = new Live(look, (problem, until) => troubled(problem, until));
const notice = new Notice(
  () => live.now(),
  () => rows.focus(),
);
let people;
let person;
let focusPanel = false;
/** Going back takes a moment: who is chosen meanwhile is opened after it. */
let wentBack = Promise.resolve();
/** The list that was asked for last: whether it came. */
let listing;
/** The timer of that list, after which it is shown to be on its way. */
let patience;
/** A list that was asked for and did not come: none is shown in its place. */
let isOwed = false;

/** Signs in: the first page of people is the proof that the token is good. */
async function enter(token) {
  const client = new Client(token);
  const found = new People(client, (change) => show(found, change), (problem) => {
    if (found === people) report(problem);
  });
  tools.reset();
  await found.begin(tools.query);
  people = found;
  person = new Person(client, closePerson);
  signIn.hide();
  byId("people").hidden = false;
  byId("people").inert = false;
  byId("sign-out").hidden = false;
  show(found, { isNew: true });
  live.start();
  if (route()) person.focus();
  else tools.focus();
}

/** The same with the token that the tab has kept, and that it keeps while nobody refuses it. */
async function enterAgain(token) {
  const view = byId("people");
  // Rows without people, until they are here.
  view.hidden = false;
  view.inert = true;
  try {
    await enter(token);
  } catch (problem) {
    if (problem.isOfToken) return leave(problem);
    view.hidden = true;
    signIn.show(new Error(`${problem.message} This tab still has your token: reload to try again.`));
  }
}

function leave(problem) {
  live.stop();
  notice.hide();
  forget();
  person?.close();
  browse.inert = false;
  people = undefined;
  person = undefined;
  isOwed = false;
  listing = undefined;
  rows.mark(undefined);
  rows.wait();
  byId("people").hidden = true;
  byId("totals").textContent = "";
  byId("sign-out").hidden = true;
  signIn.show(problem);
}

/** Another list is wanted. */
function list() {
  if (people) listing = begin(people);
}

/** Opens the first person of the list that was asked for, once it is there. */
async function openFirst() {
  const awaited = listing;
  const came = await awaited;
  if (came !== false && awaited === listing) rows.openFirst();
}

async function begin(found) {
  // What is there stays until there is something else, unless that takes its time. The timer of an
  // older list, whose answer may still be on its way, would hide what has come since.
  clearTimeout(patience);
  const timer = setTimeout(() => {
    if (found !== people) return;
    nobody.hidden = true;
    rows.wait();
  }, LOADING_MILLISECONDS);
  patience = timer;
  try {
    const came = await load(found);
    if (came) answered();
    return came;
  } catch (problem) {
    if (found === people) report(problem);
    return false;
  } finally {
    clearTimeout(timer);
  }
}

/** Asks for the list that is wanted. What was there before is no answer to that. */
async function load(found) {
  isOwed = false;
  try {
    return await found.begin(tools.query);
  } catch (problem) {
    if (found === people) {
      // This list would be refused again, whenever it is asked for; nothing else is for that.
      problem.isFinal = problem.status === 400;
      isOwed = true;
      nobody.hidden = true;
      byId("totals").textContent = "";
      rows.wait();
    }
    throw problem;
  }
}

/** The server has answered somebody: what is told of before may be over. */
function answered() {
  if (!notice.isShown) return;
  if (isOwed) {
    live.now();
  } else {
    notice.hide();
    live.start();
  }
}

/** Looks for changes, or for what has failed before. */
async function look() {
  const found = people;
  const shown = person;
  let came = false;
  try {
    if (isOwed) {
      came = await load(found);
      listing = undefined;
    } else {
      came = await found.poll();
    }
    await shown.follow(found.tag);
  } catch (problem) {
    // Of somebody who has signed out since.
    if (found !== people) return;
    if (!problem.isOfCursor) throw problem;
    came = false;
    list();
  }
  if (found !== people) return;
  rows.tick();
  if (came) notice.hide();
}

function report(problem) {
  if (problem.isOfCursor) list();
  else live.report(problem);
}

function troubled(problem, until) {
  if (problem.isOfToken) leave(problem);
  else notice.show(problem, until);
}

function show(found, change) {
  if (found !== people || isOwed) return;
  rows.show(found, change);
  const all = `${number(found.everybody)} ${found.everybody === 1 ? "person" : "people"}`;
  const text = found.isWhole ? all : `${number(found.total)} of ${all}`;
  const totals = byId("totals");
  if (totals.textContent !== text) totals.textContent = text;
  nobody.hidden = found.total > 0;
  if (found.total === 0) tellOfNobody(found);
}

function tellOfNobody(found) {
  const [title, text] = found.isWhole
    ? ["Nobody is here yet", "People appear as soon as the identity provider assigns them."]
    : ["Nobody was found", "Try fewer letters, or look among all people."];
  nobody.querySelector("h2").textContent = title;
  nobody.querySelector("p").textContent = text;
  const clear = nobody.querySelector("button");
  clear.hidden = found.isWhole;
  clear.textContent = "Show everybody";
}

/**
 * Opens whom somebody chose. The open panel is one entry of the history, whoever is in it, so that
 * going back closes it, and closing it goes back.
 */
async function choose(user, isByKey) {
  await wentBack;
  if (!person) return;
  if (person.id === user.id) {
    person.focus();
    return;
  }
  focusPanel = isByKey || NARROW.matches;
  const address = PERSON + encodeURIComponent(user.id);
  if (person.id && history.state?.isOwn) {
    history.replaceState(history.state, "", address);
  } else {
    // Of a link: the list in its place, so that going back leads there and not out of the page.
    if (person.id) history.replaceState(null, "", location.pathname + location.search);
    history.pushState({ isOwn: true }, "", address);
  }
  route();
}

/** Opens whom the address names; false if it names nobody. */
function route() {
  if (!person) return false;
  const id = location.hash.startsWith(PERSON)
    ? decoded(location.hash.slice(PERSON.length))
    : undefined;
  if (!id) {
    const hadFocus = byId("panel").contains(document.activeElement);
    close();
    if (hadFocus) rows.focus();
    return false;
  }
  if (person.id === id) return true;
  rows.mark(id);
  const index = people.indexOf(id);
  const shown = person;
  const opened = shown.open(id, index < 0 ? undefined : people.at(index));
  opened.then(
    (came) => came && shown === person && answered(),
    (problem) => shown === person && live.report(problem),
  );
  cover();
  if (focusPanel || NARROW.matches) person.focus();
  focusPanel = false;
  return true;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What the panel covers cannot be reached. */
function cover() {
  browse.inert = NARROW.matches && person?.id !== undefined;
}

function close() {
  rows.mark(undefined);
  if (person.id) person.close();
  cover();
}

function closePerson() {
  if (history.state?.isOwn) {
    wentBack = new Promise((done) => {
      addEventListener("popstate", done, { once: true });
      setTimeout(done, GOING_BACK_MILLISECONDS_MAX);
    });
    history.back();
  } else {
    // Of a link: in its place, since what is before it is not the page's own.
    history.replaceState(null, "", location.pathname + location.search);
  }
  close();
  rows.focus();
}

document.addEventListener("keydown", (event) => {
  if (!people || isComposing(event) || event.ctrlKey || event.altKey || event.metaKey) return;
  // A list of choices takes letters too.
  const isTyping = event.target.matches?.("input[type=search], input[type=text], select");
  if (event.key === "/" && !isTyping && !browse.inert) {
    event.preventDefault();
    tools.focus();
  } else if (event.key === "Escape" && person?.id) {
    event.preventDefault();
    closePerson();
  } else if (event.key === "Escape" && tools.query.text) {
    event.preventDefault();
    tools.clearText();
    tools.focus();
  }
});
addEventListener("hashchange", route);
NARROW.addEventListener("change", cover);
byId("sign-out").addEventListener("click", () => leave(undefined));
nobody.querySelector("button").addEventListener("click", () => {
  tools.clear();
  tools.focus();
});

/** What is covered is inert; a browser without that is older than those that the page names. */
if ("inert" in HTMLElement.prototype) {
  byId("host").textContent = location.host;
  byId("lacking").hidden = true;
  const token = kept();
  if (token) enterAgain(token);
  else signIn.show(undefined);
}
