// Live updates: takes the sections of each event and puts in what differs from the page.
// Sections themselves stay, so that a screen reader's live region and the reader's place stay too.
"use strict";
(() => {
  const live = document.getElementById("live");
  const link = document.getElementById("link");
  const at = document.getElementById("at");
  if (!live || !link || !at || !window.EventSource) return;

  const RETRY_MS = 10000;
  const SILENCE_MS = 20000; // events come each 5 s at least; comments are not seen from here
  let source = null;
  let silence = 0;
  let retry = 0;

  const say = (state) => {
    if (document.documentElement.dataset.link === state) return;
    document.documentElement.dataset.link = state;
    link.textContent = link.dataset[state];
  };

  const show = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const part of fresh.querySelectorAll("section[id]")) {
      const shown = document.getElementById(part.id);
      if (shown && shown.innerHTML !== part.innerHTML) {
        const held = shown.contains(document.activeElement) ? document.activeElement.value : "";
        shown.replaceChildren(...part.childNodes);
        // Whoever was about to press a button still is.
        if (held) shown.querySelector(`button[value="${CSS.escape(held)}"]`)?.focus();
      }
    }
    const titled = live.querySelector("[data-title]");
    if (titled) document.title = titled.dataset.title;
  };

  const heard = (event) => {
    clearTimeout(silence);
    silence = setTimeout(lost, SILENCE_MS);
    const told = JSON.parse(event.data);
    if (told.html !== undefined) show(told.html);
    if (told.at) {
      at.dateTime = told.at;
      at.textContent = told.time;
    }
    say(told.at ? "live" : "failing");
  };

  const stop = () => {
    clearTimeout(silence);
    clearTimeout(retry);
    if (source) source.close();
    source = null;
  };

  const lost = () => {
    stop();
    say("lost");
    retry = setTimeout(start, RETRY_MS);
  };

  const start = () => {
    stop();
    source = new EventSource(live.dataset.events);
    source.addEventListener("status", heard);
    source.addEventListener("error", lost);
    silence = setTimeout(lost, SILENCE_MS);
  };

  // A hidden page listens to nothing: it would hold a connection that nobody looks at.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop();
    } else {
      say("connecting");
      start();
    }
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => {
    if (event.persisted) start();
  });

  say("connecting");
  if (!document.hidden) start();
})();
