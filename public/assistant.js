// Draws what Chainlit cannot: the sources beside an answer, the line and the receipt under it.
// Everything is built from text nodes; nothing here turns text into markup or code. The server decides what is shown.
(() => {
  "use strict";
  const CHAT = "/chat";
  const SOURCE = "#source-";
  const AGAIN_MS = 1500;
  const views = new Map(); // answer id → what /api/receipts says of it
  const stages = new Map(); // answer id → what is being done, while it is being written
  const asked = new Set(); // answers whose receipt is on its way
  const found = new Set(); // answers that have come into view
  let me = null;
  let opened = null; // {answer, n, chip}

  // The pages that the server writes tell times by the clock of whoever reads them.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;

  const el = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "onclick") node.addEventListener("click", value);
      // What is unfolded at the end of the page would stand below it.
      else if (key === "unfolds") node.addEventListener("toggle", () => node.open && node.scrollIntoView({ block: "nearest" }));
      else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((c) => c != null));
    return node;
  };

  const get = async (address) => {
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(body.detail || ""), { status: answer.status });
    return body;
  };

  // ---- signing in --------------------------------------------------------------------------------------------------
  // Chainlit says why a sign-in failed by the phrase of the status ("Unauthorized"), for which there are no words, and
  // beside that by our name for it, raw. An error that bears the name is told once, in the words for it.
  const orWhy = async (answer) => {
    if (answer.ok) return answer;
    const { detail } = await answer.json().catch(() => ({}));
    throw new Error(detail || "default");
  };

  // A session ends elsewhere, too: by the clock, by signing out in another tab, by an admin. The page leads to the
  // sign-in then, and what was written stands in the field again once the same person has signed in.
  const UNSENT = "unsent";
  let leaving = false;
  const signInAgain = (unsent) => {
    if (leaving) return;
    leaving = true;
    const text = unsent || document.querySelector("#chat-input")?.value;
    if (text && me) sessionStorage.setItem(UNSENT, JSON.stringify({ name: me.name, text }));
    location.assign(`${CHAT}/login?error=sessionRequired`);
  };
  const bringBack = () => {
    const input = document.querySelector("textarea#chat-input");
    const kept = me && input && !input.value && sessionStorage.getItem(UNSENT);
    if (!kept) return;
    sessionStorage.removeItem(UNSENT);
    const { name, text } = JSON.parse(kept);
    if (name !== me.name) return;
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(input, text);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  // A socket that is refused looks like one whose network is gone.
  let knocking = 0;
  const knock = () => {
    if (knocking || !document.getElementById("session-error")) return;
    knocking = setTimeout(() => { knocking = 0; knock(); }, 5000);
    get("/api/me").catch((error) => error.status === 401 && signInAgain());
  };

  // ---- opening a talk ----------------------------------------------------------------------------------------------
  // A page that reopens a talk opens its socket twice, and only the second time it names the talk. Each time it asks for
  // a cookie first; were the first cookie to come last, the talk would stay empty. So only the newest goes on.
  const ask = window.fetch.bind(window);
  let openings = 0;
  window.fetch = (...request) => {
    if (String(request[0]).endsWith(`${CHAT}/login`)) return ask(...request).then(orWhy);
    leaving ||= String(request[0]).endsWith(`${CHAT}/logout`);
    if (!String(request[0]).endsWith(`${CHAT}/set-session-cookie`)) return ask(...request);
    const mine = ++openings;
    const newest = (go) => (given) => (mine === openings ? go(given) : new Promise(() => {}));
    return ask(...request).then(newest((answer) => answer), newest((error) => Promise.reject(error)));
  };

  // ---- who is here -------------------------------------------------------------------------------------------------
  let asking = null;
  let notBefore = 0;
  const whoAmI = () => {
    if (me || Date.now() < notBefore) return Promise.resolve(me);
    asking ??= get("/api/me")
      .then((body) => ((me = body), (document.documentElement.lang = body.language), schedule(), me))
      .catch(() => ((notBefore = Date.now() + 5000), null))
      .finally(() => (asking = null));
    return asking;
  };

  const links = () => {
    const header = document.getElementById("header");
    if (!me || !header || document.getElementById("me-link")) return;
    if (me.admin) header.lastElementChild?.prepend(el("a", { id: "admin-link", href: "/admin" }, me.words.admin));
    const named = me.waiting ? `${me.words.me}: ${me.waiting_said}` : me.words.me;
    header.lastElementChild?.prepend(el("a", { id: "me-link", href: me.waiting ? "/me/questions" : "/me", "aria-label": named, title: named },
      el("span", { class: "long" }, me.words.me), el("span", { class: "short" }, me.words.me_short),
      me.waiting ? el("span", { class: "waiting" }, String(me.waiting)) : null));
  };

  const post = async (address, sent) => {
    const headers = { Accept: "application/json", ...(sent ? { "Content-Type": "application/json" } : {}) };
    const answer = await fetch(address, { method: "POST", headers, body: sent && JSON.stringify(sent) });
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(body.detail || "");
    return body;
  };

  // Another version stands in another branch of the talk, or is only being written: the page is read anew.
  const turnTo = async (address, button) => {
    button.disabled = true;
    try {
      const { thread } = await post(address);
      location.assign(`${CHAT}/thread/${thread}`);
    } catch (error) {
      button.disabled = false;
      button.after(el("span", { class: "tone-warn", role: "alert" }, ` ${error.message}`));
    }
  };

  // Chainlit's icons have no names; a screen reader needs them. Attributes only: React keeps what it does not know.
  const NAMES = {
    "#sidebar-trigger-button": "sidebar", "#search-chats-button": "search", "#new-chat-button": "new_chat", "#chat-submit": "send",
    "#stop-button": "stop", "#theme-toggle": "theme", "#user-nav-button": "account", "#thread-options": "options",
    ".edit-message": "edit",
    ".positive-feedback-off, .positive-feedback-on": "good", ".negative-feedback-off, .negative-feedback-on": "bad",
    "#chat-input": "input", "[id^=scroll-to-bottom]": "down",
  };
  const nameThings = () => {
    const words = me?.words || {};
    for (const [selector, key] of Object.entries(NAMES)) {
      for (const node of document.querySelectorAll(selector)) {
        if (words[key] && node.getAttribute("aria-label") !== words[key]) node.setAttribute("aria-label", words[key]);
        if (key === "good" || key === "bad") node.setAttribute("aria-pressed", String(node.matches(".positive-feedback-on, .negative-feedback-on")));
        // A menu's handle that is a plain box may not say what it opens unless it is a button.
        if (key === "options" && node.tagName === "DIV" && !node.hasAttribute("role")) node.setAttribute("role", "button");
      }
    }
    // What is left: a button that is an icon alone says what it does by its place.
    for (const node of document.querySelectorAll("button:not([aria-label]):not(:has(img[alt]))")) {
      if (node.textContent.trim() || node.closest("#source-panel")) continue;
      const key = node.closest(".ai-message .bg-card") ? "copy_code" : node.closest(".ai-message") ? "copy" : node.closest("form") ? "show_password" : node.closest("main, #root") ? "down" : "";
      node.setAttribute("aria-label", words[key] || FALLBACK[key] || "…");
    }
    // What scrolls sideways is reached by the keyboard, too.
    for (const code of document.querySelectorAll(".prose .bg-accent:not([tabindex])")) code.tabIndex = 0;
    for (const list of document.querySelectorAll('ul[data-sidebar="menu"]:not([role])')) list.setAttribute("role", "group");
    for (const item of document.querySelectorAll('ul[data-sidebar="menu"] > li:not([role])')) item.setAttribute("role", "presentation");
  };
  const FALLBACK = { show_password: navigator.language.startsWith("de") ? "Passwort zeigen" : "Show the password" };

  // ---- answers -----------------------------------------------------------------------------------------------------
  const steps = () => document.querySelectorAll('[data-step-type="assistant_message"] [id^="step-"]');
  const idOf = (step) => step.id.slice("step-".length);

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      found.add(idOf(entry.target));
      load(idOf(entry.target));
    }
  }, { rootMargin: "400px" });

  const load = async (id) => {
    if (asked.has(id) || stages.has(id) || views.has(id) || !(await whoAmI())) return;
    asked.add(id);
    try {
      const view = await get(`/api/receipts/${encodeURIComponent(id)}`);
      if (view.state === "streaming") setTimeout(() => { asked.delete(id); load(id); }, AGAIN_MS);
      else views.set(id, view);
    } catch (error) {
      if (error.status !== 404) setTimeout(() => asked.delete(id), AGAIN_MS * 4);
    }
    schedule();
  };

  const footOf = (step) => {
    const column = step.querySelector(".ai-message > div:last-child");
    if (!column) return null;
    let foot = column.querySelector(":scope > .answer-foot");
    if (!foot) {
      foot = el("div", { class: "answer-foot" });
      column.append(foot);
    }
    return foot;
  };

  const draw = (step) => {
    const id = idOf(step);
    const foot = footOf(step);
    if (!foot) return;
    const stage = stages.get(id);
    const view = stage ? null : views.get(id);
    const key = stage ? `stage ${stage}` : view ? `view ${view.work?.said || ""}` : "";
    if (foot.dataset.key !== key) {
      foot.dataset.key = key;
      foot.replaceChildren(...(stage ? [el("p", { class: "stage", role: "status" }, stage)] : view ? drawView(id, view) : []));
    }
    if (view) chips(step, id, view);
  };

  const drawView = (id, view) => {
    const out = [];
    const line = el("p", { class: "foot-line" });
    for (const part of view.line || []) line.append(el("span", { class: `tone-${part.tone}` }, part.text));
    if (view.state !== "streaming" && !view.refused) {
      const again = view.ask_again ? me.words.ask_again : me.words.again;
      line.append(el("button", { type: "button", class: "quiet again", onclick: (e) => turnTo(`/api/answers/${encodeURIComponent(id)}/again`, e.target) }, again));
    }
    const all = view.versions || [];
    if (all.length > 1) {
      const at = all.indexOf(id);
      const step = (to, word, sign) => el("button", { type: "button", class: "quiet", "aria-label": word, disabled: !all[to],
        onclick: (e) => turnTo(`/api/answers/${encodeURIComponent(all[to])}/show`, e.target) }, sign);
      line.append(el("span", { class: "versions" }, step(at - 1, me.words.version_before, "‹"),
        me.words.version.replace("{n}", at + 1).replace("{all}", all.length), step(at + 1, me.words.version_after, "›")));
    }
    if (line.childNodes.length) out.push(line);
    if (view.choices?.length) {
      const box = el("p", { class: "choices", role: "group", "aria-label": me.words.choices });
      view.choices.forEach((label, at) => box.append(el("button", { type: "button", class: "button",
        onclick: (e) => turnTo(`/api/answers/${encodeURIComponent(id)}/choices/${at + 1}`, e.target) }, label)));
      out.push(box);
    }
    if (view.work) out.push(drawWork(id, view.work));
    if (view.owner) out.push(...drawOwner(id, view.owner));
    if (view.unsupported?.length) {
      const list = el("ul", { class: "doubts" });
      for (const { plain, why } of view.unsupported) list.append(el("li", {}, el("q", {}, plain.trim()), why ? ` ${why}.` : ""));
      out.push(list);
    }
    if (view.receipt) {
      const rows = el("dl", { class: "rows" });
      for (const [name, value, figure] of view.receipt) {
        rows.append(el("div", {}, el("dt", {}, name), el("dd", {}, value), figure ? el("dd", { class: "figure" }, figure) : null));
      }
      out.push(el("details", { class: "receipt", unfolds: true }, el("summary", {}, me.words.receipt), rows, view.whole ? el("a", { href: view.whole }, me.words.whole_receipt) : null));
    }
    return out;
  };

  // A declined answer offers to ask whoever looks after the nearest documents; then it says to whom it went.
  const drawOwner = (id, { sent, offers = [], question, send }) => {
    if (sent) {
      return [el("p", { class: "owner-said" }, sent.sent, " ", sent.said), sent.reply ? el("blockquote", { class: "owner-reply" }, sent.reply) : ""];
    }
    return offers.map(({ document: number, ask, more }) => {
      const words = el("textarea", { rows: 3, maxlength: 2000, "aria-label": ask, "aria-describedby": `owner-${id}-${number}` });
      words.value = question;
      const said = el("p", { role: "alert" });
      const button = el("button", { type: "button", onclick: async () => {
        button.disabled = true;
        try {
          viewOf(id).owner = { sent: await post(`/api/answers/${encodeURIComponent(id)}/owner`, { document: number, text: words.value }) };
          redraw(id);
        } catch (error) {
          button.disabled = false;
          said.textContent = error.message;
        }
      } }, send);
      return el("details", { class: "ask-owner", unfolds: true }, el("summary", {}, ask), el("p", { id: `owner-${id}-${number}` }, more), words, said, button);
    });
  };
  // Long work: how far it is, asked again and again until it is over. Then the answer stands where it was announced.
  const drawWork = (id, { state, share, said, show }) => {
    const over = state === "done" || state === "failed";
    const bar = over ? "" : el("progress", { max: 100, value: String(share), "aria-label": said });
    const button = over && awaited.has(id) ? el("button", { type: "button", class: "quiet", onclick: () => location.reload() }, show) : "";
    if (!over) {
      awaited.add(id);
      setTimeout(() => { asked.delete(id); views.delete(id); load(id); }, AGAIN_MS);
    } else if ((awaited.has(id) || outrun(id)) && !document.querySelector("#chat-input")?.value && !stages.size) {
      setTimeout(() => location.reload(), 300);
    }
    return over && !awaited.has(id) ? "" : el("p", { class: "work", role: "status" }, bar, said, " ", button);
  };
  const awaited = new Set();
  // The talk was read while the work was still going on, and this told that it is over: what stands here is from before.
  const outrun = (id) => {
    const known = `outrun ${id}`;
    if (!viewOf(id).citations?.length || sessionStorage.getItem(known) || document.querySelector(`#step-${CSS.escape(id)} a[href^="${SOURCE}"]`)) return false;
    sessionStorage.setItem(known, "1");
    return true;
  };
  const viewOf = (id) => views.get(id) || {};
  const redraw = (id) => {
    const foot = document.querySelector(`#step-${CSS.escape(id)} .answer-foot`);
    if (foot) foot.dataset.key = "";
    schedule();
  };

  const chips = (step, id, view) => {
    const known = new Map(view.citations.map((c) => [String(c.n), c]));
    for (const chip of step.querySelectorAll(`a[href^="${SOURCE}"]`)) {
      const citation = known.get(chip.getAttribute("href").slice(SOURCE.length));
      const name = citation ? `${me.words.source} ${citation.n}: ${citation.title}` : me.words.source;
      // One passage may stand behind several numbers of an answer: the one that was opened is on.
      const on = opened?.answer === id && (opened.chip.isConnected ? opened.chip === chip : String(opened.n) === chip.textContent);
      for (const [key, value] of [["role", "button"], ["aria-label", name], ["title", name], ["aria-pressed", String(on)]]) {
        if (chip.getAttribute(key) !== value) chip.setAttribute(key, value);
      }
      chip.removeAttribute("target");
    }
    doubt(step, id, view);
  };

  // Statements that were not found in their source are underlined or struck without touching the text itself.
  const doubts = new Map();
  const doubt = (step, id, view) => {
    if (!view.unsupported?.length || !window.Highlight || !CSS.highlights) return;
    const nodes = [];
    let text = "";
    const walker = document.createTreeWalker(step.querySelector(".message-content") || step, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      if (walker.currentNode.parentElement.closest(`a[href^="${SOURCE}"]`)) continue;
      nodes.push([text.length, walker.currentNode]);
      text += walker.currentNode.data;
    }
    const at = (offset) => {
      const [start, node] = nodes.findLast(([s]) => s <= offset) || [];
      return node ? [node, Math.min(offset - start, node.data.length)] : null;
    };
    const ranges = [];
    for (const { text: sentence } of view.unsupported) {
      const plain = sentence.replace(/\[\d+\]/g, "").replace(/[*_`>]/g, "").trim().replace(/[\s.]+$/, "");
      const start = plain ? text.indexOf(plain) : -1;
      const from = start < 0 ? null : at(start);
      const to = start < 0 ? null : at(start + plain.length);
      if (!from || !to) continue;
      const range = new Range();
      range.setStart(...from);
      range.setEnd(...to);
      ranges.push(range);
    }
    doubts.set(id, ranges);
    CSS.highlights.set(view.unsupported_as === "strike" ? "struck" : "unsupported", new Highlight(...[...doubts.values()].flat()));
  };

  // ---- the panel ---------------------------------------------------------------------------------------------------
  const panel = el("aside", { id: "source-panel", "aria-live": "polite", hidden: true, tabindex: "-1" });

  const close = () => {
    if (!opened) return;
    const chip = opened.chip;
    opened = null;
    panel.hidden = true;
    document.body.classList.remove("source-open");
    if (chip?.isConnected) chip.focus();
    schedule();
  };

  // Lines that begin with a tab are code.
  const coded = (text) => text.split(/^(\t.*(?:\n\t.*)*)/m)
    .map((part, i, all) => i % 2 ? el("code", { class: "block", tabindex: "0" }, part.replace(/^\t/gm, ""))
      : part.replace(i ? /^\n+/ : "", "").replace(i + 1 < all.length ? /\n+$/ : "", ""))
    .filter((part) => part !== "");

  const open = async (answer, n, chip) => {
    if (!(await whoAmI())) return;
    const mine = (opened = { answer, n, chip });
    const top = (...said) => el("header", {},
      el("div", { class: "panel-top" },
        el("span", { class: "chip on", "aria-hidden": "true" }, String(n)),
        el("button", { type: "button", class: "quiet", onclick: close, "aria-label": me.words.close }, "✕")),
      ...said);
    panel.setAttribute("aria-label", `${me.words.source} ${n}`);
    panel.replaceChildren(top(el("p", { class: "about" }, `${me.words.loading} …`)));
    panel.hidden = false;
    document.body.classList.add("source-open");
    schedule();
    let body;
    try {
      const p = await get(`/api/passages/${encodeURIComponent(answer)}/${n}`);
      const passage = el("mark", { class: "passage" });
      for (const piece of p.pieces) passage.append(...(piece.claim ? [el("mark", { class: "claim" }, ...coded(piece.text))] : coded(piece.text)));
      body = [
        top(el("h2", {}, p.title), el("p", { class: "about" }, p.about)),
        p.before ? el("div", { class: "around" }, "… ", ...coded(p.before.replace(/^\n+|\s+$/g, ""))) : null,
        passage,
        p.after ? el("div", { class: "around" }, ...coded(p.after.replace(/^\n+|\s+$/g, "")), " …") : null,
        p.href && el("a", { class: "button", href: p.href, target: "_blank", rel: "noopener" }, me.words.open_document),
      ];
    } catch (error) {
      body = [top(), el("p", { class: "gone" }, (error.status === 404 && error.message) || me.words.passage_failed)];
    }
    if (opened !== mine) return;
    panel.replaceChildren(...body.filter(Boolean));
    panel.focus({ preventScroll: true });
    const mark = carrying(chip) || panel.querySelector(".passage");
    if (mark) panel.scrollTop += mark.getBoundingClientRect().top - panel.getBoundingClientRect().top - panel.firstChild.offsetHeight - 72;
  };

  // Of the sentences that are marked in the passage, the one that this number stands behind: most of its words are there.
  const carrying = (chip) => {
    const said = new Set(wordsOf(before(chip)));
    let best = null;
    let most = -1;
    for (const mark of panel.querySelectorAll(".claim")) {
      const words = wordsOf(mark.textContent);
      const share = words.filter((w) => said.has(w)).length / (words.length || 1);
      if (share > most) [best, most] = [mark, share];
    }
    return best;
  };
  const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) || [];
  // What stands before a number: the sentence in bold of a quotation, else what follows the number before it.
  const before = (chip) => {
    const block = chip.closest("[role=article], p, li, td, blockquote");
    const strong = block?.closest("blockquote") && block.querySelector("strong, .font-bold");
    if (strong || !block) return strong?.textContent || "";
    const range = new Range();
    range.selectNodeContents(block);
    range.setEndBefore(chip);
    const earlier = [...block.querySelectorAll(`a[href^="${SOURCE}"]`)].filter((c) => range.comparePoint(c, 0) === 0);
    if (earlier.length) range.setStartAfter(earlier.at(-1));
    return range.toString();
  };

  document.addEventListener("click", (event) => {
    const chip = event.target.closest?.(`a[href^="${SOURCE}"]`);
    if (!chip) return;
    event.preventDefault();
    event.stopPropagation();
    const step = chip.closest('[id^="step-"]');
    const n = Number(chip.getAttribute("href").slice(SOURCE.length));
    if (!step || !Number.isInteger(n)) return;
    if (opened?.chip === chip) close();
    else open(idOf(step), n, chip);
  }, true);

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened) close();
    if (event.key === " " && event.target.matches?.(`a[href^="${SOURCE}"]`)) {
      event.preventDefault();
      event.target.click();
    }
  });

  // ---- news from the server, and the page as it changes ------------------------------------------------------------
  window.addEventListener("message", (event) => {
    if (event.source !== window || event.origin !== location.origin) return;
    const news = event.data;
    if (!news || typeof news.assistant !== "string") return;
    if (news.over) return signInAgain(news.unsent);
    // Chainlit names the thread in the address only where it is mounted at the root; a reload must find it again.
    if (location.pathname.replace(/\/$/, "") === CHAT) history.replaceState(history.state, "", `${CHAT}/thread/${news.thread}`);
    if (news.done) {
      stages.delete(news.assistant);
      views.delete(news.assistant);
      asked.delete(news.assistant);
      if (found.has(news.assistant) || document.getElementById(`step-${news.assistant}`)) load(news.assistant);
    } else if (news.text) {
      stages.set(news.assistant, `${news.text} …`);
    }
    schedule();
  });

  // Chainlit leaves room under the newest turn, and then offers to scroll into it though nothing stands there.
  const offerBelow = () => {
    const offer = document.querySelector(".absolute.bottom-4.left-0.right-0:has(> button)");
    const last = offer && [...steps()].at(-1)?.closest(".step, .ai-message, [data-step-type]");
    if (last) offer.classList.toggle("nothing-below", last.getBoundingClientRect().bottom <= offer.getBoundingClientRect().bottom + 16);
  };
  // Scrolling tells many times a frame; once is enough.
  let scrolled = 0;
  document.addEventListener("scroll", () => {
    scrolled ||= requestAnimationFrame(() => {
      scrolled = 0;
      offerBelow();
    });
  }, { capture: true, passive: true });

  let planned = 0;
  const schedule = () => {
    planned ||= requestAnimationFrame(() => {
      planned = 0;
      links();
      bringBack();
      knock();
      nameThings();
      for (const step of steps()) {
        if (!step.dataset.watched) {
          step.dataset.watched = "1";
          seen.observe(step);
        }
        draw(step);
      }
      offerBelow();
      if (opened && !document.getElementById(`step-${opened.answer}`)) close();
    });
  };

  const begin = () => {
    document.body.append(panel);
    new MutationObserver((changes) => {
      if (changes.every((c) => c.target.closest?.(".answer-foot, #source-panel"))) return;
      if (!me && document.getElementById("header")) whoAmI();
      schedule();
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
    schedule();
  };
  if (document.body) begin();
  else document.addEventListener("DOMContentLoaded", begin);
})();
