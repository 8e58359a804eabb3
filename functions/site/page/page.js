"use strict";

// The API answers beside this page, under whatever address that has.
const BASE = location.pathname.replace(/\/*$/, "/");
const KEPT = `kennel-api-key ${BASE}`;
const TAKEN = ["image/jpeg", "image/png", "image/webp"];
const MOST_BYTES = 4000000; // what reaches the function is 4.5 MB at most; larger pictures are made smaller here
const MOST_SIDE = 2048;

const $ = (id) => document.getElementById(id);
let asking = 0; // the number of the latest request: answers to earlier ones are dropped
let asked = null; // the latest request itself, to ask again with
let explaining = false; // whether its heat map is on its way
let shown = ""; // the address of the picture that is seen

class Refused extends Error {}

// --- the key -------------------------------------------------------------------------------------------------------

let typed = ""; // where the browser keeps nothing, the key lasts as long as the page

function key() {
  try {
    return localStorage.getItem(KEPT) || typed;
  } catch {
    return typed;
  }
}

function keep(value) {
  typed = value;
  try {
    if (value) localStorage.setItem(KEPT, value);
    else localStorage.removeItem(KEPT);
  } catch {
    // told to keep nothing
  }
  $("forget").hidden = !value;
}

let answered = null; // the question that is open: whoever else needs the key waits for the same answer

function askForKey(why) {
  answered ??= new Promise((resolve) => {
    $("ask-why").textContent = why;
    $("key-value").value = "";
    $("key").onsubmit = () => keep($("key-value").value.trim());
    $("ask").onclose = () => {
      answered = null;
      resolve(Boolean(key()));
    };
    $("ask").showModal();
  });
  return answered;
}

// --- asking --------------------------------------------------------------------------------------------------------

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(BASE + path, { ...options, headers: { ...options.headers, "x-api-key": key() } });
  } catch {
    throw new Refused("The API cannot be reached. Is this device online?");
  }
  let said = null;
  try {
    said = await answer.json();
  } catch {
    throw new Refused(`The API answered with something that cannot be understood (status ${answer.status}).`);
  }
  if (answer.ok) return said;
  // A refusal without a name of its own is the gateway's: it knows no such key.
  if (answer.status === 403 && !(said.type || "").includes("#")) {
    if (await askForKey("The API did not accept the key. Which one is right?")) return call(path, options);
    throw new Refused("Without its key the API answers nothing.");
  }
  throw new Refused(sentence(said.detail || said.title || said.message || `The API answered with status ${answer.status}`));
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

async function ask(options, address) {
  const mine = ++asking;
  show(address);
  $("answer").hidden = true;
  await attempt(mine, async () => {
    if (!key() && !(await askForKey("The API answers to those who have its key. You need to enter it only once.")))
      throw new Refused("Without its key the API answers nothing.");
    $("status").textContent = "Looking at the picture…";
    const request = { method: "POST", ...(await options()) };
    const answer = await call("predictions?top_k=5", request);
    if (mine !== asking) return;
    asked = request;
    tell(answer);
  });
}

// The same picture once more, for the heat map; what is there already is shown and hidden.
async function explain() {
  if (explaining) return;
  if ($("heat").getAttribute("src")) {
    showHeat($("heat").hidden);
    return;
  }
  explaining = true;
  $("status").textContent = "Looking for what decided…";
  const mine = asking;
  await attempt(mine, async () => {
    const { explanation } = await call("predictions?top_k=1&explain=true", asked);
    if (mine !== asking) return;
    $("heat").src = `data:image/png;base64,${explanation.heat_map}`;
    $("heat").alt = `Heat map over the picture: the parts that speak for ${explanation.breed}`;
    showHeat(true);
  });
  if (mine === asking) explaining = false;
}

// Does it, and tells what went wrong, unless another picture has been asked about meanwhile.
async function attempt(mine, work) {
  $("error").textContent = "";
  try {
    await work();
  } catch (error) {
    if (mine !== asking) return;
    if (!(error instanceof Refused)) console.error(error);
    $("status").textContent = "";
    $("error").textContent = error instanceof Refused ? error.message : "Something went wrong in this page.";
  }
}

function askAboutFile(file) {
  return ask(async () => {
    const picture = await fitting(file);
    return { body: picture, headers: { "content-type": picture.type } };
  }, URL.createObjectURL(file));
}

function askAboutLink(url) {
  const body = JSON.stringify({ url });
  return ask(async () => ({ body, headers: { "content-type": "application/json" } }), url);
}

// The file as it is, or, where the API would not take it, drawn anew as a JPEG.
async function fitting(file) {
  if (TAKEN.includes(file.type) && file.size <= MOST_BYTES) return file;
  let drawn;
  try {
    drawn = await createImageBitmap(file);
  } catch {
    throw new Refused("This is not a picture that the browser can read. JPEG, PNG and WebP pictures work.");
  }
  const scale = Math.min(1, MOST_SIDE / Math.max(drawn.width, drawn.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(drawn.width * scale));
  canvas.height = Math.max(1, Math.round(drawn.height * scale));
  canvas.getContext("2d").drawImage(drawn, 0, 0, canvas.width, canvas.height);
  drawn.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}

// --- showing -------------------------------------------------------------------------------------------------------

function show(address) {
  if (shown.startsWith("blob:")) URL.revokeObjectURL(shown);
  shown = address;
  $("answer").classList.remove("unseen");
  $("picture").src = address;
  $("heat").removeAttribute("src");
  explaining = false;
  showHeat(false);
}

function showHeat(wanted) {
  $("heat").hidden = !wanted;
  $("explain").setAttribute("aria-pressed", String(wanted));
  $("status").textContent = wanted ? "The heat map lies over the picture: what is coloured decided." : "";
  if (wanted) $("frame").scrollIntoView({ block: "nearest" });
}

function percent(probability) {
  if (probability > 0.9995) return "> 99.9 %";
  if (probability < 0.001) return "< 0.1 %";
  return `${(probability * 100).toFixed(1)} %`;
}

function tell(answer) {
  const [best] = answer.predictions;
  $("status").textContent = "";
  $("best").textContent = answer.confident ? best.breed : `Perhaps ${best.breed}`;
  $("unsure").hidden = answer.confident;
  $("bars").replaceChildren(...answer.predictions.map(bar));
  $("answer").hidden = false;
  $("best").focus();
  $("bars").scrollIntoView({ block: "nearest" }); // on a phone the picture alone may fill the window
  if (!$("model").textContent) tellModel();
}

function bar({ breed, probability }) {
  const line = document.createElement("li");
  const [fill, name, share] = ["i", "span", "b"].map((tag) => document.createElement(tag));
  fill.style.width = `${probability * 100}%`;
  fill.setAttribute("aria-hidden", "true");
  name.textContent = breed;
  share.textContent = percent(probability);
  line.append(fill, name, share);
  return line;
}

async function tellModel() {
  try {
    const { model, classes, metrics } = await call("model");
    const parts = [`Model ${model}`];
    if (classes) parts.push(`${classes.length} classes`);
    if (metrics) parts.push(`right on ${percent(metrics.accuracy)} of ${metrics.pictures} ${metrics.split} pictures`);
    $("model").textContent = parts.join(", ");
  } catch (error) {
    if (error instanceof Refused) $("model").textContent = error.message;
    else throw error;
  }
}

// --- where pictures come from --------------------------------------------------------------------------------------

function fromFiles(files) {
  const file = [...files].find((one) => one.type.startsWith("image/")) || files[0];
  if (file) askAboutFile(file);
}

for (const [button, input] of [["choose", "file"], ["photograph", "camera"]]) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", () => {
    fromFiles($(input).files);
    $(input).value = ""; // so that the same picture can be chosen again
  });
}

$("link").addEventListener("submit", (event) => {
  event.preventDefault();
  askAboutLink($("url").value.trim());
});

document.addEventListener("paste", (event) => {
  if (!event.clipboardData.files.length) return; // text goes where the cursor is
  event.preventDefault();
  fromFiles(event.clipboardData.files);
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("source").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("source").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("source").classList.remove("over");
  if (event.dataTransfer.files.length) fromFiles(event.dataTransfer.files);
  else {
    const [url] = event.dataTransfer.getData("text/uri-list").split(/\r?\n/);
    if (/^https?:/.test(url)) askAboutLink(url);
  }
});

$("explain").addEventListener("click", explain);
$("picture").addEventListener("load", ({ target }) => {
  $("frame").style.setProperty("--ratio", String(target.naturalWidth / target.naturalHeight));
});
$("picture").addEventListener("error", () => $("answer").classList.add("unseen"));
$("forget").addEventListener("click", () => {
  keep("");
  $("model").textContent = "";
  $("choose").focus();
});

// Whoever says no has no key that could be used: none was given, or the one that was is wrong.
$("ask").addEventListener("cancel", () => keep(""));
$("cancel").addEventListener("click", () => {
  keep("");
  $("ask").close();
});

$("description").href = `${BASE}openapi.json`;
$("forget").hidden = !key();
if (key()) tellModel();
