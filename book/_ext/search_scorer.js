// How the search orders its hits: words of the query that stand in a title count most.
// https://www.sphinx-doc.org/en/master/usage/configuration.html#confval-html_search_scorer
const QUESTION_WORDS = ["and", "are", "can", "did", "does", "for", "how", "many", "much", "the", "what", "where", "which", "why", "with"];
const ASKED = (new URLSearchParams(window.location.search).get("q") || "")
  .toLowerCase()
  .split(/\s+/)
  .filter((word) => word.length > 2 && !QUESTION_WORDS.includes(word));
var Scorer = {
  score: ([, title, , , score]) =>
    score + 10 * ASKED.filter((word) => title.toLowerCase().includes(word)).length,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
