// Reads a bundle (see bundle.py and packing.py): nothing in it is trusted before it is checked.

import { sha256 } from "./sha256";

const KIND = "avatar-player";
const FORMAT = 2;
const MAX_BYTES = 256 * 2 ** 20;
const MAX_FILE = 64 * 2 ** 20;

/** Something to tell the user, in words. */
export class PlayerError extends Error {}

export interface CameraJson {
  fx: number; fy: number; cx: number; cy: number; width: number; height: number;
  world_from_camera: number[][];
}

export interface Manifest {
  kind: string; format: number; name: string; consent: string; license: string; written_by: string;
  splats: number; lods: number[]; camera: CameraJson; coefficients: string[];
  file: { name: string; sha256: string; bytes: number; inflated: number };
  arrays: Record<string, Entry>;
}

interface Entry { dtype: string; shape: number[]; offset: number; bytes: number; scale?: number }

export type Values = Float32Array | Uint16Array | Uint32Array | Int16Array | Uint8Array | Int8Array;

export interface Packed { values: Values; shape: number[]; scale: number }

const TYPES: Record<string, { size: number; make: (buffer: ArrayBuffer) => Values }> = {
  i8: { size: 1, make: (b) => new Int8Array(b) },
  u8: { size: 1, make: (b) => new Uint8Array(b) },
  i16: { size: 2, make: (b) => new Int16Array(b) },
  u16: { size: 2, make: (b) => new Uint16Array(b) },
  f16: { size: 2, make: (b) => halves(new Uint16Array(b)) },
  u32: { size: 4, make: (b) => new Uint32Array(b) },
  f32: { size: 4, make: (b) => new Float32Array(b) },
};

function halves(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (h) => {
    const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
    if (exponent === 31) return NaN;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
  });
}

/** The arrays of a bundle by name, checked. */
export class Bundle {
  constructor(readonly manifest: Manifest, private readonly arrays: Map<string, Packed>) {}

  /** One array as stored. */
  packed(name: string): Packed {
    const found = this.arrays.get(name);
    if (!found) throw new PlayerError(`The avatar file is incomplete: there is no "${name}" in it.`);
    return found;
  }

  /** One array in its unit, as 32-bit floats. */
  floats(name: string, ...shape: (number | null)[]): Float32Array {
    const { values, scale, shape: found } = this.packed(name);
    const fits = !shape.length || (shape.length === found.length && shape.every((n, i) => n === null || n === found[i]));
    if (!fits) throw new PlayerError(`The avatar file is damaged: "${name}" has the shape ${found.join(" × ")}.`);
    const out = values instanceof Float32Array && scale === 1 ? values : Float32Array.from(values, (v) => v * scale);
    if (!out.every(Number.isFinite)) throw new PlayerError(`The avatar file is damaged: "${name}" is not finite.`);
    return out;
  }

  /** One array of indices, each less than `below`. */
  indices(name: string, below: number): Values {
    const { values } = this.packed(name);
    if (values instanceof Float32Array || values.some((v) => v < 0 || v >= below))
      throw new PlayerError(`The avatar file is damaged: an index in "${name}" is out of range.`);
    return values;
  }

  /** Row starts of a compressed table: non-decreasing from 0 to `count`. */
  starts(name: string, count: number): Values {
    const values = this.indices(name, count + 1);
    if (values[0] !== 0 || values[values.length - 1] !== count || values.some((v, i) => i > 0 && v < values[i - 1]))
      throw new PlayerError(`The avatar file is damaged: "${name}" is not a partition.`);
    return values;
  }
}

/** Fetch and check the bundle in a folder; `progress` hears which share of it has arrived. */
export async function loadBundle(folder: URL, kind = KIND, progress?: (share: number) => void): Promise<Bundle> {
  const manifest = checkManifest(await fetchJson(new URL("manifest.json", folder)), kind);
  const data = await fetchBytes(new URL(manifest.file.name, folder), manifest.file.bytes, progress);
  return decodeBundle(manifest, data);
}

/** Check data against its manifest and unpack it. */
export async function decodeBundle(manifest: Manifest, data: Uint8Array): Promise<Bundle> {
  const { file } = manifest;
  if (data.length !== file.bytes) throw new PlayerError("The avatar file is truncated. Copy the folder again.");
  if ((await sha256(data)) !== file.sha256)
    throw new PlayerError("The avatar file does not match its manifest (sha256). Copy the folder again.");
  const raw = await inflate(data, file.inflated);
  const arrays = new Map<string, Packed>();
  for (const [name, entry] of Object.entries(manifest.arrays)) arrays.set(name, unpack(name, entry, raw));
  return new Bundle(manifest, arrays);
}

const whole = (n: unknown, most = MAX_BYTES): n is number =>
  typeof n === "number" && Number.isInteger(n) && n >= 0 && n <= most;

export function checkManifest(value: unknown, kind: string): Manifest {
  const m = value as Manifest;
  if (!m || typeof m !== "object" || m.kind !== kind) throw new PlayerError("This is not an avatar made for this page.");
  if (m.format !== FORMAT)
    throw new PlayerError(`This avatar has format ${String(m.format)}; this page reads ${FORMAT}. Export it again.`);
  const file = m.file;
  const named = file && typeof file.name === "string" && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(file.name);
  if (!named || !whole(file.bytes, MAX_FILE) || !whole(file.inflated) || typeof file.sha256 !== "string")
    throw new PlayerError("The avatar's manifest is damaged: it does not name its file properly.");
  if (!m.arrays || typeof m.arrays !== "object") throw new PlayerError("The avatar's manifest is damaged: no arrays.");
  return kind === KIND ? checkAvatar(m) : m;
}

function checkAvatar(m: Manifest): Manifest {
  const c = m.camera;
  const numbers = c ? [c.fx, c.fy, c.cx, c.cy, c.width, c.height, ...(c.world_from_camera ?? []).flat()] : [];
  if (numbers.length !== 22 || !numbers.every(Number.isFinite) || !(c.fx > 0 && c.fy > 0 && c.width > 0 && c.height > 0))
    throw new PlayerError("The avatar's manifest is damaged: its camera makes no sense.");
  if (!Array.isArray(m.coefficients) || m.coefficients.length !== 52 || !m.coefficients.every((n) => typeof n === "string"))
    throw new PlayerError("The avatar's manifest is damaged: it does not list 52 coefficients.");
  if (!Array.isArray(m.lods) || !m.lods.every((n) => whole(n))) m.lods = [];
  for (const key of ["name", "consent", "license", "written_by"] as const)
    m[key] = typeof m[key] === "string" ? m[key].slice(0, 500) : "";
  return m;
}

function unpack(name: string, entry: Entry, raw: Uint8Array): Packed {
  const bad = () => new PlayerError(`The avatar file is damaged: array "${name.slice(0, 60)}" lies about itself.`);
  if (!entry || typeof entry !== "object" || !Object.hasOwn(TYPES, entry.dtype)) throw bad();
  const { size, make } = TYPES[entry.dtype];
  const { shape, offset, bytes } = entry, scale = entry.scale ?? 1;
  if (!Array.isArray(shape) || !shape.every((n) => whole(n)) || !whole(offset) || !whole(bytes)) throw bad();
  const count = shape.reduce((a, b) => a * b, 1);
  if (bytes !== count * size || offset + bytes > raw.length || !Number.isFinite(scale)) throw bad();
  const mixed = new Uint8Array(bytes);
  for (let plane = 0; plane < size; plane++) {
    const from = offset + plane * count;
    for (let i = 0; i < count; i++) mixed[i * size + plane] = raw[from + i];
  }
  return { values: make(mixed.buffer), shape, scale };
}

async function inflate(data: Uint8Array, size: number): Promise<Uint8Array> {
  if (typeof DecompressionStream === "undefined")
    throw new PlayerError("This browser is too old: it cannot unpack the avatar. Update it.");
  const out = new Uint8Array(size);
  let at = 0;
  try {
    const stream = new Blob([data as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
    const reader = stream.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (at + part.value.length > size) {
        await reader.cancel();
        throw new PlayerError("The avatar file is larger than it says.");
      }
      out.set(part.value, at);
      at += part.value.length;
    }
  } catch (error) {
    throw error instanceof PlayerError ? error : new PlayerError("The avatar file is damaged and cannot be unpacked.");
  }
  if (at !== size) throw new PlayerError("The avatar file is smaller than it says.");
  return out;
}

async function fetchJson(url: URL): Promise<unknown> {
  const text = new TextDecoder().decode(await fetchBytes(url, 4 * 2 ** 20));
  try {
    return JSON.parse(text);
  } catch {
    throw new PlayerError("The avatar's manifest is not readable. Check that the folder holds an exported avatar.");
  }
}

async function fetchBytes(url: URL, most: number, progress?: (share: number) => void): Promise<Uint8Array> {
  if (url.protocol === "file:")
    throw new PlayerError(
      "Browsers do not let a page opened from disk read other files. Serve the folder instead: " +
        "run “python -m http.server” in it and open http://localhost:8000.",
    );
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin" });
  } catch {
    throw new PlayerError(`Cannot fetch ${url.pathname}. Check the connection and that the page may read this address.`);
  }
  if (!response.ok) throw new PlayerError(`Cannot fetch ${url.pathname}: the server answered ${response.status}.`);
  const parts: Uint8Array[] = [], reader = response.body!.getReader();
  let size = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.length;
    if (size > most) {
      await reader.cancel();
      throw new PlayerError(`${url.pathname} is larger than announced.`);
    }
    parts.push(part.value);
    progress?.(size / most);
  }
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}
