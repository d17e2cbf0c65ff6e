// Runs book/_static/clutter.mjs for test_javascript.py: node run_clutter.mjs MODULE FOLDER
//
// FOLDER contains jobs.json and the image sets' pixels and masks. What the module makes is written there: canvases and
// masks as raw bytes, one after the other, and everything else as results.json.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modulePath, folder] = process.argv.slice(2);
const clutter = await import(pathToFileURL(modulePath));
const jobs = JSON.parse(readFileSync(join(folder, "jobs.json")));
const bytes = (file) => new Uint8Array(readFileSync(join(folder, file)));
const joined = (arrays) => Buffer.concat(arrays.map((array) => Buffer.from(array.buffer)));
const write = (file, arrays) => writeFileSync(join(folder, file), joined(arrays));

const sets = {};
for (const [name, set] of Object.entries(jobs.sets)) {
  sets[name] = { ...set, pixels: bytes(`${name}.pixels`), masks: set.masks && bytes(`${name}.masks`) };
}
const made = (name, split) => clutter.makeImages({ ...sets[name], split });

const canvases = [];
const masks = [];
const records = [];
for (const { images: name, split, pool, positions, options } of jobs.cases) {
  const images = made(name, split);
  const from = pool === null ? images : made(pool, "bank");
  for (const position of positions) {
    const { canvas, visible, objectMask, ...record } = clutter.render({ images, position, pool: from, ...options });
    canvases.push(canvas);
    masks.push(visible);
    if (objectMask !== null) masks.push(objectMask);
    records.push(record);
  }
}
write("canvases", canvases);
write("masks", masks);
write("bank", [clutter.noiseBank()]);
const first = (set, n) => sets[set].pixels.subarray(0, n * n * 3);
write("filtered", jobs.filtered.map(({ set, n, m }) => clutter.boxFiltered(first(set, n), n, m)));

// Calls give only what is wrong; the rest is right.
const [someSet] = Object.keys(sets);
const calls = {
  makeImages: (given) => clutter.makeImages({ ...sets[someSet], split: "test", ...given }),
  render: (given) => clutter.render({ images: made(someSet, "test"), position: 0, ...given }),
  renderAlone: (given) => clutter.render({ images: calls.makeImages(given), position: 0 }),
  boxFiltered: (given) => clutter.boxFiltered(...given),
  philox: (given) => clutter.philox(...given),
};
const messages = jobs.wrong.map(([call, given]) => {
  try {
    calls[call](given);
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  return "no error";
});

const scene = {
  images: made(jobs.timed, "test"),
  position: 0,
  pool: made(jobs.timed, "bank"),
  types: clutter.TYPES,
  severity: 5,
};

// The option tileCorner moves the tile and nothing else.
const drawn = clutter.render(scene);
const again = clutter.render({ ...scene, tileCorner: drawn.tileBox.slice(0, 2) });
const dragged = clutter.render({ ...scene, tileCorner: [1, 2] });
const removed = clutter.render({ ...scene, tile: "removed" });
const everyByte = (holds) => dragged.canvas.every((value, i) => holds(value, i, dragged.visible[i >> 2] === 1));
const imageByte = (i) => {
  const [x, y] = [((i >> 2) % 48) - 1, Math.floor((i >> 2) / 48) - 2];
  return i % 4 === 3 ? 255 : scene.images.pixels[(y * scene.images.size + x) * 3 + (i % 4)];
};

const times = [];
for (let seed = 0; seed < 200; seed++) {
  const start = performance.now();
  clutter.render({ ...scene, seed });
  times.push(performance.now() - start);
}
times.sort((a, b) => a - b);

writeFileSync(
  join(folder, "results.json"),
  JSON.stringify({
    records,
    messages,
    levels: clutter.LEVELS,
    words: jobs.words.map(([counter, key]) => Array.from(clutter.philox(counter, key))),
    dragged: {
      sameAtDrawnPlace: again.canvas.every((value, i) => value === drawn.canvas[i]),
      sameOutside: everyByte((value, i, inside) => inside || value === removed.canvas[i]),
      tileInside: everyByte((value, i, inside) => !inside || value === imageByte(i)),
      tileBox: dragged.tileBox,
    },
    milliseconds: times[100],
  }),
);
