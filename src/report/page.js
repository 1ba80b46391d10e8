"use strict";
(() => {
  const form = document.getElementById("filter");
  const found = document.getElementById("found");
  const prompts = [...document.querySelectorAll("#samples .prompt")];
  const groups = [...document.querySelectorAll("#samples .group")];
  if (!form || !prompts.length) return;

  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const iterations = groups.map((group) => group.dataset.iteration);
  const choice = (values, names) => make("select", {}, make("option", { value: "", textContent: "all" }),
    ...values.map((value, i) => make("option", { value, textContent: names[i] })));
  const steps = [...new Set(prompts.map((prompt) => prompt.dataset.step).filter(Boolean))];
  const headings = groups.map((group) => group.querySelector("h3").textContent);
  const iteration = choice(iterations, steps.length ? headings : iterations);
  const step = choice(steps, steps);
  const only = make("select", {}, make("option", { value: "", textContent: "all prompts" }),
    make("option", { value: "pairs", textContent: "with a pair" }),
    make("option", { value: "none", textContent: "without a pair" }),
    make("option", { value: "failures", textContent: "with a format failure" }));
  const search = make("input", { type: "search", placeholder: "words in prompts, thoughts, responses" });
  form.append(make("label", {}, steps.length ? "Stretch " : "Iteration ", iteration));
  if (steps.length) form.append(make("label", {}, "Step ", step));
  form.append(make("label", {}, "Show ", only), make("label", {}, "Search ", search));
  form.hidden = false;

  const texts = new Map();
  const textOf = (prompt) => {
    if (!texts.has(prompt)) {
      const parts = [...prompt.querySelectorAll(".text")].map((part) => part.textContent);
      texts.set(prompt, parts.join("\n").toLowerCase());
    }
    return texts.get(prompt);
  };
  const kinds = {
    "": () => true,
    pairs: (prompt) => prompt.dataset.pairs !== "0",
    none: (prompt) => prompt.dataset.pairs === "0",
    failures: (prompt) => prompt.dataset.failures !== "0",
  };
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const prompt of prompts) {
      const fits = (!iteration.value || prompt.dataset.iteration === iteration.value) &&
        (!step.value || prompt.dataset.step === step.value) && kinds[only.value](prompt) &&
        words.every((word) => textOf(prompt).includes(word));
      prompt.hidden = !fits;
      shown += fits;
    }
    for (const group of groups) group.hidden = !group.querySelector(".prompt:not([hidden])");
    found.textContent = shown === prompts.length ? "" : `${shown} of ${prompts.length} prompts`;
  };
  let timer;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, 150);
  });
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
})();
