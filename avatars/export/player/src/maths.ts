// Small vectors, quaternions (xyzw) and 3 × 3 matrices (row-major arrays of nine).

export type Vec3 = [number, number, number];
export type Quat = [number, number, number, number];
export type Mat3 = number[];

export function matrixOf([x, y, z, w]: Quat): Mat3 {
  const s = 2 / (x * x + y * y + z * z + w * w);
  return [
    1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y),
    s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x),
    s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y),
  ];
}

export function quatOf(m: Mat3): Quat {
  const trace = m[0] + m[4] + m[8];
  const squares = [1 + m[0] - m[4] - m[8], 1 - m[0] + m[4] - m[8], 1 - m[0] - m[4] + m[8], 1 + trace];
  const best = squares.indexOf(Math.max(...squares));
  const q: Quat = (
    best === 3 ? [m[7] - m[5], m[2] - m[6], m[3] - m[1], squares[3]]
    : best === 0 ? [squares[0], m[1] + m[3], m[2] + m[6], m[7] - m[5]]
    : best === 1 ? [m[1] + m[3], squares[1], m[5] + m[7], m[2] - m[6]]
    : [m[2] + m[6], m[5] + m[7], squares[2], m[3] - m[1]]
  );
  return normalized(q);
}

export function normalized(q: Quat): Quat {
  const n = Math.hypot(...q) || 1;
  return [q[0] / n, q[1] / n, q[2] / n, q[3] / n];
}

/** Axis times angle of a rotation. */
export function rotvecOf(m: Mat3): Vec3 {
  let [x, y, z, w] = quatOf(m);
  if (w < 0) [x, y, z, w] = [-x, -y, -z, -w];
  const length = Math.hypot(x, y, z);
  const scale = length < 1e-6 ? 2 : (2 * Math.atan2(length, w)) / length;
  return [x * scale, y * scale, z * scale];
}

export function quatOfRotvec([x, y, z]: ArrayLike<number> & Iterable<number>): Quat {
  const angle = Math.hypot(x, y, z);
  const s = angle < 1e-9 ? 0.5 : Math.sin(angle / 2) / angle;
  return [x * s, y * s, z * s, Math.cos(angle / 2)];
}

/** The shorter way from a to b. */
export function slerp(a: Quat, b: Quat, share: number): Quat {
  const dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
  const sign = dot < 0 ? -1 : 1;
  const angle = Math.acos(Math.min(Math.abs(dot), 1));
  const [p, q] = angle < 1e-4
    ? [1 - share, share]
    : [Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle)];
  return normalized([0, 1, 2, 3].map((i) => p * a[i] + sign * q * b[i]) as Quat);
}

export function multiply(a: Mat3, b: Mat3): Mat3 {
  const out = new Array<number>(9);
  for (let i = 0; i < 3; i++)
    for (let j = 0; j < 3; j++) out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
  return out;
}

export const transposed = (m: Mat3): Mat3 => [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];

export function apply(m: Mat3, v: ArrayLike<number>): Vec3 {
  return [
    m[0] * v[0] + m[1] * v[1] + m[2] * v[2],
    m[3] * v[0] + m[4] * v[1] + m[5] * v[2],
    m[6] * v[0] + m[7] * v[1] + m[8] * v[2],
  ];
}

export const cross = (a: Vec3, b: Vec3): Vec3 => [
  a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0],
];

export const unit = (v: Vec3): Vec3 => {
  const n = Math.hypot(...v) || 1;
  return [v[0] / n, v[1] / n, v[2] / n];
};
