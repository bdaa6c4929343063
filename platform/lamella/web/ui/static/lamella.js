// What readers see and do, as events: docs/browser.md. ES2017.
function lamella({ key, unit, url = lamella.home, every = 5000, limit = 500 }) {
  const address = `${url}/v1/events?key=${encodeURIComponent(key)}`;
  const shelf = `lamella.${key}.`, spool = shelf + crypto.randomUUID();
  const BATCH = 50, SEEN_MS = 1000, GONE_MS = 3600000;
  const seen = new Map();
  let queue = [], reads = [], dropped = 0, failures = 0, timer = 0, isSending, isGone;

  // Milliseconds that the page was visible.
  let visible = 0, since = performance.now();
  const clock = () => visible + (document.hidden ? 0 : performance.now() - since);

  const body = (events) => JSON.stringify({ sent_at: new Date(), events });
  const event = (kind, item, request_id, more) => Object.assign(
    { kind, event_id: crypto.randomUUID(), unit, item, request_id, time: new Date().toISOString() }, more);

  // The spool: what is not acknowledged, and reads so far. `at` 0: the page is gone.
  function keep() {
    const at = isGone ? 0 : Date.now();
    const events = queue.concat(reads.map((read) => read()));
    try {
      localStorage.setItem(spool, JSON.stringify({ at, events }));
      if (!events.length) localStorage.removeItem(spool);
    } catch (_) { /* no room */ }
  }

  // Takes over what gone pages left.
  function adopt() {
    for (const name of Object.keys(localStorage).filter((name) => name.startsWith(shelf))) {
      const { at, events } = JSON.parse(localStorage.getItem(name));
      if (Date.now() < at + GONE_MS) continue;
      localStorage.removeItem(name);
      events.forEach(put);
    }
  }

  function put(one) {
    queue.push(one);
    if (queue.length > limit) lose(queue.splice(0, queue.length - limit).length, "spool full");
    keep();
    if (queue.length >= BATCH && !failures) flush(); else wait(every);
  }

  function lose(count, why) {
    dropped += count;
    console.warn("lamella:", why);
  }

  function wait(ms) { timer = timer || setTimeout(flush, ms); }

  async function flush() {
    timer = clearTimeout(timer);
    if (isSending || !queue.length) return;
    isSending = true;
    const batch = queue.slice(0, BATCH), abort = new AbortController();
    const patience = setTimeout(() => abort.abort(), 15000);
    let pause = 0;
    try {
      const answer = await fetch(address,
        { method: "POST", body: body(batch), credentials: "omit", keepalive: document.hidden, signal: abort.signal });
      pause = 1000 * answer.headers.get("Retry-After");
      if (answer.status === 429 || answer.status >= 500) throw answer.status;
      const said = await answer.json();
      queue = queue.filter((one) => !batch.includes(one));
      failures = 0;
      if (answer.ok) said.rejected.forEach((each) => lose(1, each.reason));
      else lose(batch.length, said.detail);
    } catch (_) {
      failures += 1;
      pause = Math.max(pause, Math.min(60000, 500 * 2 ** failures) * (0.5 + Math.random() / 2));
    }
    isSending = clearTimeout(patience);
    timer = clearTimeout(timer);
    keep();
    if (queue.length) wait(failures ? pause : queue.length < BATCH ? every : 0);
  }

  // A beacon's fate is unknown: the next page repeats it.
  function leave() {
    queue = queue.concat(reads.splice(0).map((read) => read()));
    isGone = true;
    keep();
    for (let at = 0; at < queue.length; at += BATCH) {
      navigator.sendBeacon(address, body(queue.slice(at, at + BATCH)));
    }
  }

  // Seen: a second with half of the item visible, or half of the window full of it.
  const observer = new IntersectionObserver((entries) => entries.forEach((entry) => {
    const one = seen.get(entry.target), { width, height } = entry.intersectionRect;
    const isIn = entry.intersectionRatio >= 0.5 || 2 * width * height >= innerWidth * innerHeight;
    if (!isIn || one.since === null) one.since = isIn ? clock() : null;
    look(entry.target, one);
  }), { threshold: [0.1, 0.25, 0.5, 0.75] });

  function look(element, one) {
    clearTimeout(one.timer);
    if (one.since === null) return;
    const ms = clock() - one.since;
    if (ms < SEEN_MS) { one.timer = setTimeout(look, SEEN_MS - ms + 5, element, one); return; }
    observer.unobserve(element);
    me.custom("visible", ms / 1000, one.item, one.request);
  }

  const me = {
    flush,
    watch(element, item, request) {
      seen.set(element, { item, request, since: null });
      observer.observe(element);
      element.addEventListener("click", () => me.click(item, request));
    },
    read(element, item, request) {
      const began = clock(), event_id = crypto.randomUUID();
      let completion = 0;
      const read = () => {
        const { top, height } = element.getBoundingClientRect();
        completion = Math.max(completion, Math.min(1, (innerHeight - top) / (height || 1)));
        const read_seconds = Math.min(86400, (clock() - began) / 1000);
        return event("read", item, request, { event_id, read_seconds, completion });
      };
      addEventListener("scroll", read);
      reads.push(read);
      return () => reads.includes(read) && put(reads.splice(reads.indexOf(read), 1)[0]());
    },
    click: (item, request) => put(event("click", item, request)),
    interaction: (action, item, request) => put(event("interaction", item, request, { action })),
    custom: (name, value, item, request) => put(event("custom", item, request, { name, value })),
    get waiting() { return queue.length; },
    get dropped() { return dropped; },
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) visible += performance.now() - since;
    since = performance.now();
    seen.forEach((one) => { if (one.since !== null) one.since = clock(); });
    keep();
    if (document.hidden) flush();
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", () => { isGone = false; });
  try { adopt(); } catch (_) { /* no room */ }
  return me;
}
lamella.home = new URL(document.currentScript.src).origin;
