/**
 * Renders the background types of the clutter benchmark, in a browser or in Node.js, without dependencies.
 *
 * Written from the page "The benchmark, pixel by pixel" (book/benchmark.md), whose sections the comments name. The
 * canvases and their records are those of the Python package, byte for byte: tests/clutter/test_javascript.py compares.
 *
 *     import { makeImages, render } from "./clutter.mjs";
 *
 *     const images = makeImages({ pixels, labels, index, classes, size: 24, split: "test" });
 *     const pool = makeImages({ pixels: others, labels: ..., index: ..., classes, size: 24, split: "bank" });
 *     const { canvas, tileBox } = render({ images, position: 0, pool, types: ["surround", "noise"], severity: 3 });
 *     context.putImageData(new ImageData(canvas, 48, 48), 0, 0);
 *
 * @module
 */

/**
 * The severity table: what each type draws at severity 0 to 5. Sides are in pixels, for a tile of 32 pixels.
 *
 * - `noise`: the standard deviation, in thousandths of the pixel range
 * - `mosaic`: the weight of the shuffled image, in 1/256
 * - `surround`: the number of pieces and their side
 * - `crowd`: the number of whole images and their side
 */
export const LEVELS = {
  noise: [30, 60, 100, 150, 200, 250],
  mosaic: [0, 51, 102, 154, 205, 256],
  surround: [[0, 0], [6, 12], [10, 14], [17, 18], [22, 20], [24, 21]],
  crowd: [[0, 0], [4, 15], [7, 17], [9, 18], [13, 19], [24, 19]],
};

/** The types that this module draws. */
export const TYPES = Object.keys(LEVELS);

/** The splits; the place in this list is the number in the key. */
export const SPLITS = ["train", "val", "test", "bank"];

const STREAM = {
  SEVERITY: 0,
  TILE: 1,
  NOISE: 2,
  MOSAIC_SOURCE: 7,
  MOSAIC_ORDER: 8,
  SURROUND_SOURCE: 13,
  SURROUND_PLACE: 14,
  CROWD_SOURCE: 15,
  CROWD_PLACE: 16,
};

// ---------------------------------------------------------------------------------------------- Arithmetic

const quotient = (a, b) => Math.floor(a / b);

/** Maps a word to 0 … n−1. Exact for `n` up to 2 ** 21. */
const below = (word, n) => Math.floor((word * n) / 2 ** 32);

/** Lays the value `over` over the value `under` with a weight from 0 to 256. */
const mix = (under, over, weight) => (under * (256 - weight) + over * weight + 128) >> 8;

// -------------------------------------------------------------------------------------------- Random words

/** The high word of the product of two words. A product of two halves fits into a number exactly. */
function highWord(a, b) {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (middle & 0xffff);
  return aHigh * bHigh + (middle >>> 16) + (other >>> 16);
}

/** Writes four random words into `words`: {@link philox} without a new array for each call. */
function philoxInto(words, c0, c1, c2, c3, k0, k1) {
  for (let round = 0; round < 10; round++) {
    const high0 = highWord(c0, 0xd2511f53);
    const low0 = Math.imul(c0, 0xd2511f53);
    const high1 = highWord(c2, 0xcd9e8d57);
    const low1 = Math.imul(c2, 0xcd9e8d57);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/**
 * Returns the four random words of Philox4x32 with ten rounds.
 *
 * @param {number[]} counter four words, each from 0 to 2 ** 32 − 1
 * @param {number[]} key two words
 * @returns {Uint32Array} four words
 */
export function philox(counter, key) {
  must(areWords(counter, 4), "counter", "four whole numbers from 0 to 2 ** 32 - 1", counter);
  must(areWords(key, 2), "key", "two whole numbers from 0 to 2 ** 32 - 1", key);
  const words = new Uint32Array(4);
  philoxInto(words, ...counter, ...key);
  return words;
}

// --------------------------------------------------------------------------------------------------- Noise

const FIELDS = 64;
const DRAWN = 16; // the other fields are mirror images of these
const PERIOD = 64;
const FIELD_BYTES = PERIOD * PERIOD * 3;
const FIELD_SD = 40;

/** Adds six octaves, multiplied by `factor`, to a field of three channels. */
function addOctaves(sum, field, channels, group, factor) {
  const words = new Uint32Array(4);
  for (let octave = 0; octave < 6; octave++) {
    const n = 2 ** (octave + 1);
    const lattice = new Int32Array(n * n * channels);
    for (let i = 0; i < lattice.length; i++) {
      philoxInto(words, field * lattice.length + i, octave, group, 0, 0x636c7574, 0x74657231);
      lattice[i] = (words[0] >>> 22) + (words[1] >>> 22) - 1023;
    }
    // Enlarge to 64 rows, then to 64 columns.
    const rows = enlarged(lattice, n, n * channels);
    for (let y = 0; y < PERIOD; y++) {
      const row = enlarged(rows.subarray(y * n * channels, (y + 1) * n * channels), n, channels);
      for (let i = 0; i < PERIOD; i++) {
        for (let k = 0; k < 3; k++) {
          sum[(y * PERIOD + i) * 3 + k] += factor * row[i * channels + (channels === 1 ? 0 : k)];
        }
      }
    }
  }
}

/** Enlarges `n` lines of `length` values to 64 lines. */
function enlarged(lines, n, length) {
  const m = PERIOD / n;
  const result = new Int32Array(PERIOD * length);
  for (let p = 0; p < PERIOD; p++) {
    const u = quotient(256 * (p % m), m);
    const e = (u * u * (768 - 2 * u)) >> 16;
    const a = Math.floor(p / m) * length;
    const b = ((Math.floor(p / m) + 1) % n) * length;
    for (let i = 0; i < length; i++) result[p * length + i] = mix(lines[a + i], lines[b + i], e);
  }
  return result;
}

const rounded = (a, b) => quotient(2 * a + b, 2 * b);

/** Returns one field of the bank: mean 0, standard deviation 40. */
function noiseField(field) {
  const values = new Float64Array(FIELD_BYTES);
  addOctaves(values, field, 1, 0, 8);
  addOctaves(values, field, 3, 1, 3);
  const mean = rounded(values.reduce((sum, v) => sum + v, 0), FIELD_BYTES);
  let squares = 0;
  for (let i = 0; i < FIELD_BYTES; i++) {
    values[i] -= mean;
    squares += values[i] * values[i];
  }
  const sd = Math.floor(Math.sqrt(quotient(squares, FIELD_BYTES)));
  return Int8Array.from(values, (v) => Math.max(-127, Math.min(127, rounded(FIELD_SD * v, sd))));
}

let bank = null;

/**
 * Returns the 64 noise fields of 64 × 64 pixels in three channels.
 *
 * The first call takes some tenths of a second, so a page may make it before its first canvas; later calls take none.
 *
 * @returns {Int8Array} 64 · 64 · 64 · 3 values, by field, row, column and channel
 */
export function noiseBank() {
  if (bank !== null) return bank;
  const made = new Int8Array(FIELDS * FIELD_BYTES);
  for (let drawn = 0; drawn < DRAWN; drawn++) {
    const field = noiseField(drawn);
    for (let y = 0; y < PERIOD; y++) {
      for (let x = 0; x < PERIOD; x++) {
        for (let turn = 0; turn < 4; turn++) {
          const row = turn & 1 ? PERIOD - 1 - y : y;
          const column = turn & 2 ? PERIOD - 1 - x : x;
          const to = (((turn * DRAWN + drawn) * PERIOD + row) * PERIOD + column) * 3;
          const from = (y * PERIOD + x) * 3;
          for (let k = 0; k < 3; k++) made[to + k] = field[from + k];
        }
      }
    }
  }
  bank = made;
  return bank;
}

/** Draws the noise of a severity. */
function drawNoise({ canvas, side, wordsOf }, severity) {
  const fields = noiseBank();
  const words = wordsOf(STREAM.NOISE);
  const strength = quotient(255 * 4096 * LEVELS.noise[severity] + 20000, 40000);
  const start = below(words[0], FIELDS) * FIELD_BYTES;
  const firstRow = below(words[1], PERIOD);
  const firstColumn = below(words[2], PERIOD);
  for (let y = 0; y < side; y++) {
    const row = start + ((firstRow + y) % PERIOD) * PERIOD * 3;
    for (let x = 0; x < side; x++) {
      const from = row + ((firstColumn + x) % PERIOD) * 3;
      const to = (y * side + x) * 4;
      for (let k = 0; k < 3; k++) {
        canvas[to + k] = (fields[from + k] * strength + 128 * 4096 + 2048) >> 12; // the array limits it to 0 … 255
      }
    }
  }
}

// --------------------------------------------------------------------------------------------- Box filter

/** By new pixel: the first old pixel that it covers, and the weights of that one and those after it. */
function boxWeights(n, m) {
  return Array.from({ length: m }, (_, i) => {
    const first = quotient(i * n, m);
    const weights = [];
    for (let k = first; k * m < (i + 1) * n; k++) {
      weights.push(Math.min((k + 1) * m, (i + 1) * n) - Math.max(k * m, i * n));
    }
    return { first, weights };
  });
}

/**
 * Returns an image of `n` × `n` pixels resized to `m` × `m` by the box filter.
 *
 * @param {ArrayLike<number>} pixels n · n · 3 bytes, by row, column and channel
 * @param {number} n the side of the image: an even number
 * @param {number} m the new side, at most `n`
 * @returns {Uint8Array} m · m · 3 bytes
 */
export function boxFiltered(pixels, n, m) {
  must(Number.isInteger(n) && n >= 2 && n % 2 === 0, "n", "an even number from 2 up", n);
  must(isWhole(m, 1, n), "m", `a whole number from 1 to n = ${n}`, m);
  checkLength("pixels", pixels, n * n * 3, "n * n * 3");
  const weights = boxWeights(n, m);
  const narrow = new Float64Array(n * m * 3);
  for (let y = 0; y < n; y++) {
    for (let i = 0; i < m; i++) {
      const { first, weights: row } = weights[i];
      for (let k = 0; k < 3; k++) {
        let sum = 0;
        for (let l = 0; l < row.length; l++) sum += row[l] * pixels[(y * n + first + l) * 3 + k];
        narrow[(y * m + i) * 3 + k] = sum;
      }
    }
  }
  const result = new Uint8Array(m * m * 3);
  for (let j = 0; j < m; j++) {
    const { first, weights: column } = weights[j];
    for (let i = 0; i < m * 3; i++) {
      let sum = 0;
      for (let l = 0; l < column.length; l++) sum += column[l] * narrow[(first + l) * m * 3 + i];
      result[j * m * 3 + i] = quotient(sum + quotient(n * n, 2), n * n);
    }
  }
  return result;
}

// --------------------------------------------------------------------------------------------------- Images

/**
 * An image set, made and checked by {@link makeImages}.
 *
 * @typedef {object} Images
 * @property {Uint8Array} pixels
 * @property {ArrayLike<number>} labels
 * @property {ArrayLike<number>} index
 * @property {string[]} classes
 * @property {number} size
 * @property {string} split
 * @property {?ArrayLike<number>} masks
 * @property {number[][]} members by class: the positions of its images, in order
 * @property {number[][]} lenders by class and number in it: the number of this image or the next one that may lend
 */

/**
 * Checks and prepares an image set: the targets, or the images that distractors come from (the pool).
 *
 * @param {object} given
 * @param {Uint8Array} given.pixels N · size · size · 3 bytes, by image, row, column and channel
 * @param {ArrayLike<number>} given.labels each image's class, by number
 * @param {ArrayLike<number>} given.index each image's place in the file that it comes from
 * @param {string[]} given.classes the names of the classes
 * @param {number} given.size the side of an image in pixels: a multiple of 4, from 16 up
 * @param {string} given.split "train", "val", "test" or "bank"
 * @param {?ArrayLike<number|boolean>} [given.mayLend] whether each image may be a distractor; by default all may
 * @param {?ArrayLike<number|boolean>} [given.masks] N · size · size values: which pixels are the object's
 * @returns {Images}
 */
export function makeImages({ pixels, labels, index, classes, size, split, mayLend = null, masks = null }) {
  must(Number.isInteger(size) && size >= 16 && size % 4 === 0, "size", "a multiple of 4, from 16 up", size);
  must(SPLITS.includes(split), "split", `one of ${SPLITS.join(", ")}`, split);
  must(Array.isArray(classes) && classes.length > 0, "classes", "a list of one name or more", classes);
  must(labels?.length > 0, "labels", "the classes of one image or more", labels);
  const bytes = pixels instanceof Uint8Array || pixels instanceof Uint8ClampedArray;
  must(bytes, "pixels", "a Uint8Array", pixels, pixels?.constructor?.name);
  const count = labels.length;
  checkLength("index", index, count, "one for each label");
  checkLength("pixels", pixels, count * size * size * 3, `${count} labels * size * size * 3`);
  if (mayLend !== null) checkLength("mayLend", mayLend, count, "one for each label");
  if (masks !== null) checkLength("masks", masks, count * size * size, `${count} labels * size * size`);

  const members = classes.map(() => []);
  const numbers = `whole numbers from 0 to ${classes.length - 1}`;
  for (let i = 0; i < count; i++) {
    must(isWhole(labels[i], 0, classes.length - 1), "labels", numbers, labels[i]);
    must(isWord(index[i]), "index", "whole numbers from 0 to 2 ** 32 - 1", index[i]);
    members[labels[i]].push(i);
  }
  const lenders = members.map((positions) => {
    const lends = positions.map((i) => mayLend === null || Boolean(mayLend[i]));
    if (!lends.includes(true)) return [];
    return positions.map((_, n) => {
      while (!lends[n]) n = (n + 1) % positions.length;
      return n;
    });
  });
  return { pixels, labels, index, classes, size, split, masks, members, lenders };
}

/**
 * What a canvas is drawn with.
 *
 * @typedef {object} Scene
 * @property {Uint8ClampedArray} canvas
 * @property {number} side of the canvas
 * @property {Images} pool
 * @property {?number} own the canvas's own image as a position in the pool, null where the pool does not contain it
 * @property {?number} exceptClass a class that pieces and whole images must not have
 * @property {number} severity
 * @property {number} feather
 * @property {function(number, number=): Uint32Array} wordsOf the words of a stream and of the j-th thing, by default 0
 * @property {{layer: string, index: number, class: number}[]} fragments what was pasted so far
 */

/** Returns the position in the pool of the image that two words choose. */
function chosenImage({ pool, own }, [classWord, imageWord], exceptClass = null) {
  let label = below(classWord, exceptClass === null ? pool.classes.length : pool.classes.length - 1);
  if (exceptClass !== null && label >= exceptClass) label += 1;
  const members = pool.members[label];
  const lenders = pool.lenders[label];
  let chosen = lenders[below(imageWord, members.length)];
  if (members[chosen] === own) chosen = lenders[(chosen + 1) % members.length];
  return members[chosen];
}

// -------------------------------------------------------------------------------------------------- Mosaic

/** Returns the block that each cell shows. */
function blockOrder(cells, wordsOf) {
  const order = [];
  for (let group = 0; order.length < cells; group++) {
    const words = [0, 1, 2, 3].flatMap((j) => [...wordsOf(STREAM.MOSAIC_ORDER, 4 * group + j)]);
    const places = words.map((_, place) => place);
    order.push(...places.sort((a, b) => words[a] - words[b])); // of equal words the first stays first
  }
  return order;
}

function drawMosaic(scene) {
  const { canvas, side, pool, wordsOf } = scene;
  const weight = LEVELS.mosaic[scene.severity];
  const cell = pool.size / 4;
  const columns = Math.ceil(side / cell);
  const order = blockOrder(columns * columns, wordsOf);
  const start = chosenImage(scene, wordsOf(STREAM.MOSAIC_SOURCE)) * pool.size * pool.size;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const block = order[Math.floor(y / cell) * columns + Math.floor(x / cell)];
      const row = Math.floor(block / 4) * cell + (y % cell);
      const column = (block % 4) * cell + (x % cell);
      const from = (start + row * pool.size + column) * 3;
      const to = (y * side + x) * 4;
      for (let k = 0; k < 3; k++) canvas[to + k] = mix(canvas[to + k], pool.pixels[from + k], weight);
    }
  }
}

// --------------------------------------------------------------------------------------------------- Edges

/** The weight of a patch's pixel at `(i, j)`, 256 inside. */
function edgeWeight(i, j, side, feather) {
  const inside = Math.min(i, j, side - 1 - i, side - 1 - j);
  return quotient(256 * Math.min(inside + 1, feather + 1), feather + 1);
}

/** Pastes a square patch with its corner at `(x, y)`. In `pixels` it begins at `start`; its rows are `stride` apart. */
function paste(scene, { pixels, start, stride, side }, x, y) {
  const { canvas, feather } = scene;
  for (let j = Math.max(0, -y); j < Math.min(side, scene.side - y); j++) {
    for (let i = Math.max(0, -x); i < Math.min(side, scene.side - x); i++) {
      const from = (start + j * stride + i) * 3;
      const to = ((y + j) * scene.side + x + i) * 4;
      const weight = feather === 0 ? 256 : edgeWeight(i, j, side, feather);
      for (let k = 0; k < 3; k++) canvas[to + k] = mix(canvas[to + k], pixels[from + k], weight);
    }
  }
}

/** Pastes a piece or a whole image of the pool around the centre that two words choose, and records it. */
function pasteCentred(scene, layer, position, patch, words) {
  const half = patch.side >> 1;
  paste(scene, patch, below(words[0], scene.side) - half, below(words[1], scene.side) - half);
  scene.fragments.push({ layer, index: scene.pool.index[position], class: scene.pool.labels[position] });
}

// ------------------------------------------------------------------------------------------------- Surround

function drawSurround(scene) {
  const { pool, wordsOf } = scene;
  const scaled = (pixels) => quotient(pixels * pool.size + 16, 32);
  const [count, pixels] = LEVELS.surround[scene.severity];
  const side = scaled(pixels);
  const largest = scaled(Math.max(...LEVELS.surround.map(([, each]) => each)));
  const cut = (word) => (largest >> 1) + below(word, pool.size - largest + 1) - (side >> 1);
  for (let j = 0; j < count; j++) {
    const words = wordsOf(STREAM.SURROUND_SOURCE, j);
    const position = chosenImage(scene, words, scene.exceptClass);
    const start = (position * pool.size + cut(words[3])) * pool.size + cut(words[2]);
    const patch = { pixels: pool.pixels, start, stride: pool.size, side };
    pasteCentred(scene, "surround", position, patch, wordsOf(STREAM.SURROUND_PLACE, j));
  }
}

// ---------------------------------------------------------------------------------------------------- Crowd

function drawCrowd(scene) {
  const { pool, wordsOf } = scene;
  const [count, pixels] = LEVELS.crowd[scene.severity];
  const side = quotient(pixels * pool.size, 32);
  const bytes = pool.size * pool.size * 3;
  for (let j = 0; j < count; j++) {
    const position = chosenImage(scene, wordsOf(STREAM.CROWD_SOURCE, j), scene.exceptClass);
    const image = pool.pixels.subarray(position * bytes, (position + 1) * bytes);
    const patch = { pixels: boxFiltered(image, pool.size, side), start: 0, stride: side, side };
    pasteCentred(scene, "crowd", position, patch, wordsOf(STREAM.CROWD_PLACE, j));
  }
}

// ------------------------------------------------------------------------------------------------- A canvas

/**
 * A rendered canvas and its record.
 *
 * @typedef {object} Canvas
 * @property {Uint8ClampedArray} canvas S · S · 4 bytes by row, column and colour with opacity, as `ImageData` takes
 * @property {Uint8Array} visible S · S values: 1 where the tile is visible
 * @property {?Uint8Array} objectMask S · S values: 1 where the object is visible; null if the images have no masks
 * @property {number[]} tileBox the tile's x, y, width and height
 * @property {number} severity the severity that was drawn
 * @property {{layer: string, index: number, class: number}[]} fragments which image each piece of `surround` and each
 *   image of `crowd` comes from, in the order in which they are pasted
 */

/**
 * Renders one canvas.
 *
 * @param {object} given
 * @param {Images} given.images the set that the target is from
 * @param {number} given.position which of its images, from 0
 * @param {Images} [given.pool] the set that distractors come from; by default `images` itself
 * @param {string[]} [given.types] any of {@link TYPES}
 * @param {number|number[]} [given.severity] 0 to 5, or a list of them, of which one is drawn
 * @param {number} [given.canvas] the side of the canvas in pixels
 * @param {number} [given.seed]
 * @param {number} [given.epoch] 0 in every test
 * @param {number} [given.feather] over how many pixels edges fade in: 0, 1 or 2
 * @param {string} [given.tile] "shown" or "removed"
 * @param {string} [given.fragmentClasses] "any", or "other" for pieces and whole images of all classes but the target's
 * @param {string} [given.background] "noise", or "blank" for plain grey at severity 0
 * @param {number[]} [given.tileCorner] x and y of the tile, in place of the drawn ones
 * @returns {Canvas}
 */
export function render({
  images,
  position,
  pool = images,
  types = ["surround", "noise"],
  severity = 3,
  canvas: side = 48,
  seed = 0,
  epoch = 0,
  feather = 0,
  tile = "shown",
  fragmentClasses = "any",
  background = "noise",
  tileCorner = null,
}) {
  const allowed = Array.isArray(severity) ? severity : [severity];
  checkOptions({ types, severity, allowed, side, seed, epoch, feather, tile, fragmentClasses, background });
  checkImages({ images, position, pool, types, side, fragmentClasses, tileCorner });

  const key = [seed, SPLITS.indexOf(images.split)];
  const wordsOf = (stream, j = 0) => philox([images.index[position], epoch, j, stream], key);
  const scene = {
    canvas: new Uint8ClampedArray(side * side * 4).fill(255),
    side,
    pool,
    own: pool === images ? position : null,
    exceptClass: fragmentClasses === "other" ? images.labels[position] : null,
    severity: allowed[below(wordsOf(STREAM.SEVERITY)[0], allowed.length)],
    feather,
    wordsOf,
    fragments: [],
  };
  const [tileX, tileY] = tileCorner ?? Array.from(wordsOf(STREAM.TILE), (word) => below(word, side - images.size + 1));

  const blank = background === "blank" && scene.severity === 0;
  if (blank) scene.canvas.forEach((_, i, canvas) => (canvas[i] = i % 4 === 3 ? 255 : 128));
  else drawNoise(scene, types.includes("noise") ? scene.severity : 0);
  if (types.includes("mosaic")) drawMosaic(scene);
  if (types.includes("surround")) drawSurround(scene);
  if (types.includes("crowd")) drawCrowd(scene);
  const masks = pasteTile(scene, images, position, tileX, tileY, tile === "shown");
  const { canvas, severity: drawn, fragments } = scene;
  return { canvas, ...masks, tileBox: [tileX, tileY, images.size, images.size], severity: drawn, fragments };
}

/** Pastes the tile, unless it is not shown, and returns its masks. */
function pasteTile(scene, images, position, x, y, isShown) {
  const { side, feather } = scene;
  const visible = new Uint8Array(side * side);
  const objectMask = images.masks === null ? null : new Uint8Array(side * side);
  if (!isShown) return { visible, objectMask };
  const size = images.size;
  const start = position * size * size;
  paste(scene, { pixels: images.pixels, start, stride: size, side: size }, x, y);
  for (let j = 0; j < size; j++) {
    for (let i = 0; i < size; i++) {
      if (edgeWeight(i, j, size, feather) < 128) continue; // less than half of the tile shows here
      visible[(y + j) * side + x + i] = 1;
      if (objectMask !== null && images.masks[start + j * size + i]) objectMask[(y + j) * side + x + i] = 1;
    }
  }
  return { visible, objectMask };
}

// --------------------------------------------------------------------------------------------------- Checks

const isWhole = (value, least, most) => Number.isInteger(value) && value >= least && value <= most;
const isWord = (value) => isWhole(value, 0, 2 ** 32 - 1);
const areWords = (values, length) => values?.length === length && Array.from(values).every(isWord);

/** A value as an error message shows it. */
function shown(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** Throws unless `holds`: says what must be, and what was given. */
function must(holds, name, what, value, inWords = null) {
  if (!holds) throw new RangeError(`${name} must be ${what}, but got ${inWords ?? shown(value)}.`);
}

function checkLength(name, values, length, formula) {
  must(values?.length === length, name, `${length} values (${formula})`, values, `${values?.length} values`);
}

function checkOptions({ types, severity, allowed, side, seed, epoch, feather, tile, fragmentClasses, background }) {
  const names = TYPES.join(", ");
  must(Array.isArray(types), "types", `a list of any of ${names}`, types);
  for (const type of types) must(TYPES.includes(type), "types", `any of ${names}: this module draws no others`, type);
  const drawable = allowed.length > 0 && allowed.every((one) => isWhole(one, 0, 5));
  must(drawable, "severity", "a whole number from 0 to 5, or a list of them", severity);
  must(isWhole(side, 16, 1024), "canvas", "a whole number of pixels from 16 to 1024", side);
  must(isWord(seed), "seed", "a whole number from 0 to 2 ** 32 - 1", seed);
  must(isWord(epoch), "epoch", "a whole number from 0 to 2 ** 32 - 1", epoch);
  must([0, 1, 2].includes(feather), "feather", "0, 1 or 2", feather);
  must(["shown", "removed"].includes(tile), "tile", '"shown" or "removed"', tile);
  must(["any", "other"].includes(fragmentClasses), "fragmentClasses", '"any" or "other"', fragmentClasses);
  must(["noise", "blank"].includes(background), "background", '"noise" or "blank"', background);
}

function checkImages({ images, position, pool, types, side, fragmentClasses, tileCorner }) {
  must(images?.lenders !== undefined, "images", "an image set that makeImages made", images);
  must(pool?.lenders !== undefined, "pool", "an image set that makeImages made", pool);
  const last = images.labels.length - 1;
  must(isWhole(position, 0, last), "position", `a whole number from 0 to ${last}, one of the images`, position);
  must(side >= images.size, "canvas", `at least as large as the images, which have ${images.size} pixels`, side);
  if (tileCorner !== null) {
    const most = side - images.size;
    const inside = tileCorner.length === 2 && Array.from(tileCorner).every((at) => isWhole(at, 0, most));
    must(inside, "tileCorner", `x and y, whole numbers from 0 to ${most}, so that the tile is inside`, tileCorner);
  }
  if (types.every((type) => type === "noise")) return; // which shows no image of the pool
  must(pool.size === images.size, "pool", `a set of images of ${images.size} pixels, like the targets`, pool.size);
  const enough = fragmentClasses === "any" || pool.classes.length > 1;
  must(enough, "fragmentClasses", '"any" for a pool of a single class', fragmentClasses);
  for (const [label, lenders] of pool.lenders.entries()) {
    const lending = new Set(lenders).size; // at least two, because one may be the canvas's own
    const few = `${lending} of the class ${shown(pool.classes[label])}`;
    must(lending >= 2, "pool", "a set with at least 2 images of each class that may lend", lenders, few);
  }
}
