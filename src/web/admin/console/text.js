// The words of the page, in the language that was chosen.

import en from "./lang/en.js";
import ja from "./lang/ja.js";

const languages = { en, ja };
const listeners = new Set();
let chosen = localStorage.getItem("language");
if (!languages[chosen]) chosen = navigator.languages?.some((name) => name.startsWith("ja")) ? "ja" : "en";
document.documentElement.lang = chosen;

export const language = () => chosen;

export function speak(name) {
  chosen = name;
  localStorage.setItem("language", name);
  document.documentElement.lang = name;
  listeners.forEach((tell) => tell());
}

export function onLanguage(tell) {
  listeners.add(tell);
  return () => listeners.delete(tell);
}

/** A text by its name; `{word}` in it is what is given for that. */
export function t(name, given = {}) {
  const text = languages[chosen][name] ?? en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, word) => given[word] ?? whole);
}
