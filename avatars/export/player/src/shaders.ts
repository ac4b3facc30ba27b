// GLSL: the maths of avatars/splats/binding.py (bind) and avatars/raster/reference.py (draw), in the same order.

/** Covers the viewport with one triangle. */
export const COVER = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

/** One texel per splat: centre and opacity; the three columns of rotation times scale, and colour. */
export const BIND = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp sampler2DArray;
precision highp isampler2DArray;
uniform sampler2DArray uVertices;  // position, T, S
uniform sampler2DArray uSplats;    // corners + b0; mean + b1; quaternion; scale + extent; colour + opacity
uniform isampler2DArray uBases;    // layer 3 k + (mean, turn, colour)
uniform float uWeights[64];
uniform vec3 uSteps;
uniform int uCount;
uniform float uGrow;
layout(location = 0) out vec4 oCentre;
layout(location = 1) out vec4 oFirst;
layout(location = 2) out vec4 oSecond;
layout(location = 3) out vec4 oThird;

vec3 vertex(int layer, int i) { return texelFetch(uVertices, ivec3(i & 127, i >> 7, layer), 0).xyz; }

mat3 rotation(vec4 q) {  // wxyz
  q = normalize(q);
  float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3(
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec4 place = texelFetch(uSplats, ivec3(at, 0), 0);
  vec4 local = texelFetch(uSplats, ivec3(at, 1), 0);
  vec4 turn = texelFetch(uSplats, ivec3(at, 2), 0);
  vec4 scale = texelFetch(uSplats, ivec3(at, 3), 0);
  vec4 look = texelFetch(uSplats, ivec3(at, 4), 0);
  int a = int(place.x), b = int(place.y), c = int(place.z);
  vec3 bary = vec3(place.w, local.w, 1.0 - place.w - local.w);
  vec3 origin = bary.x * vertex(0, a) + bary.y * vertex(0, b) + bary.z * vertex(0, c);
  vec3 t = bary.x * vertex(1, a) + bary.y * vertex(1, b) + bary.z * vertex(1, c);
  vec3 s = bary.x * vertex(2, a) + bary.y * vertex(2, b) + bary.z * vertex(2, c);
  vec3 n = cross(t, s);
  float area = length(n);
  mat3 frame = mat3(1.0);
  float stretch = 0.25;
  mat3 drawn = mat3(stretch);
  if (area > 1e-8 && dot(t, t) > 1e-16) {
    vec3 e0 = normalize(t), e2 = n / area;
    frame = mat3(e0, cross(e2, e0), e2);
    stretch = clamp(sqrt(area), 0.25, 4.0);
    float along = length(t);
    drawn[0].x = clamp(along, 0.25, 4.0);
    drawn[1].xy = vec2(clamp(dot(s, e0), -4.0, 4.0), clamp(area / along, 0.25, 4.0));
    drawn[2].z = stretch;
  }
  vec3 moved = vec3(0.0), turned = vec3(0.0), tint = vec3(0.0);
  for (int k = 0; k < uCount; k++) {
    moved += uWeights[k] * vec3(texelFetch(uBases, ivec3(at, 3 * k), 0).rgb);
    turned += uWeights[k] * vec3(texelFetch(uBases, ivec3(at, 3 * k + 1), 0).rgb);
    tint += uWeights[k] * vec3(texelFetch(uBases, ivec3(at, 3 * k + 2), 0).rgb);
  }
  float size = scale.w * stretch;
  mat3 shape = frame * drawn * rotation(turn) * rotation(vec4(1.0, 0.5 * uSteps.y * turned));
  vec3 color = look.rgb + uSteps.z * tint;
  vec3 sigma = scale.xyz * scale.w * uGrow;
  oCentre = vec4(origin + frame * ((local.xyz + uSteps.x * moved) * size), look.a);
  oFirst = vec4(shape[0] * sigma.x, color.r);
  oSecond = vec4(shape[1] * sigma.y, color.g);
  oThird = vec4(shape[2] * sigma.z, color.b);
}`;

/** One quad per splat, in the order of the buffer. */
export const DRAW = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
uniform sampler2D uCentre, uFirst, uSecond, uThird;
uniform mat4 uView;         // camera_from_canonical; x right, y down, z forward
uniform vec4 uIntrinsics;   // fx, fy, cx, cy in px
uniform vec2 uSize;         // px
uniform mat4 uCapture;      // camera_from_canonical of the capture
uniform vec4 uFrame;        // its focal lengths and principal point as shares of its picture; 0: no edge
layout(location = 0) in uint aSplat;
flat out vec3 vConic;
flat out vec4 vColor;
out vec2 vOffset;
const float LOW_PASS = 0.3, NEAR = 0.01, LEAST = 1.0 / 255.0, MARGIN = 0.3;
const vec2 EDGE = vec2(0.0, 0.07);

// What lay beyond the capture's picture was never seen: there the body ends softly.
float seen(vec3 at) {
  vec3 p = (uCapture * vec4(at, 1.0)).xyz;
  if (uFrame.x == 0.0 || !(p.z >= NEAR)) return 1.0;
  vec2 share = p.xy / p.z * uFrame.xy + uFrame.zw;
  vec3 beyond = vec3(-share.x, share.x - 1.0, share.y - 1.0);
  vec3 kept = 1.0 - smoothstep(EDGE.x, EDGE.y, beyond);
  return kept.x * kept.y * kept.z;
}

void main() {
  gl_Position = vec4(2.0, 2.0, 2.0, 1.0);  // outside: nothing is drawn
  ivec2 at = ivec2(int(aSplat) & 255, int(aSplat) >> 8);
  vec4 centre = texelFetch(uCentre, at, 0);
  vec3 p = (uView * vec4(centre.xyz, 1.0)).xyz;
  if (!(p.z >= NEAR)) return;
  vec4 c0 = texelFetch(uFirst, at, 0), c1 = texelFetch(uSecond, at, 0), c2 = texelFetch(uThird, at, 0);
  mat3 m = mat3(uView) * mat3(c0.xyz, c1.xyz, c2.xyz);
  vec2 focal = uIntrinsics.xy, middle = uIntrinsics.zw;
  vec2 uv = p.xy / p.z, slack = MARGIN * 0.5 * uSize / focal;
  vec2 held = clamp(uv, -middle / focal - slack, (uSize - middle) / focal + slack);
  vec3 row2 = vec3(m[0].z, m[1].z, m[2].z);
  vec3 t0 = focal.x / p.z * (vec3(m[0].x, m[1].x, m[2].x) - held.x * row2);
  vec3 t1 = focal.y / p.z * (vec3(m[0].y, m[1].y, m[2].y) - held.y * row2);
  float vx = dot(t0, t0) + LOW_PASS, vy = dot(t1, t1) + LOW_PASS, cov = dot(t0, t1);
  vec3 n = cross(t0, t1);
  float det = dot(n, n), blurred = det + LOW_PASS * (vx + vy) - LOW_PASS * LOW_PASS;
  float opacity = centre.w * seen(centre.xyz) * sqrt(max(det / blurred, 1e-12));
  if (!(opacity >= LEAST) || vx > 1e12 || vy > 1e12) return;
  // The ellipse on which alpha has fallen to 1/255, by its axes.
  float reach = sqrt(2.0 * log(opacity / LEAST));
  float mean = 0.5 * (vx + vy), spread = sqrt(max(mean * mean - blurred, 0.0));
  vec2 axis = vec2(1.0, 0.0);
  if (spread > 1e-6 * mean)
    axis = normalize(vx > vy ? vec2(0.5 * (vx - vy) + spread, cov) : vec2(cov, 0.5 * (vy - vx) + spread));
  vec2 corner = vec2((gl_VertexID & 1) == 0 ? -1.0 : 1.0, (gl_VertexID & 2) == 0 ? -1.0 : 1.0);
  vec2 half_ = reach * sqrt(vec2(mean + spread, max(mean - spread, LOW_PASS))) + 0.5;
  vOffset = corner.x * half_.x * axis + corner.y * half_.y * vec2(-axis.y, axis.x);
  vConic = vec3(vy, -cov, vx) / blurred;
  vColor = vec4(c0.w, c1.w, c2.w, opacity);
  vec2 px = focal * uv + middle + vOffset;
  gl_Position = vec4(2.0 * px.x / uSize.x - 1.0, 1.0 - 2.0 * px.y / uSize.y, 0.0, 1.0);
}`;

export const BLEND = `#version 300 es
precision highp float;
flat in vec3 vConic;
flat in vec4 vColor;
in vec2 vOffset;
out vec4 oColor;

void main() {
  vec2 d = vOffset;
  float power = 0.5 * (vConic.x * d.x * d.x + vConic.z * d.y * d.y) + vConic.y * d.x * d.y;
  float alpha = min(vColor.a * exp(-power), 0.999);
  if (alpha < 1.0 / 255.0) discard;
  oColor = vec4(vColor.rgb * alpha, alpha);
}`;

/** Premultiplied picture over a background; colours are display values and are not converted. */
export const COMPOSE = `#version 300 es
precision highp float;
uniform sampler2D uPicture;
uniform vec4 uBackground;
uniform ivec2 uOrigin;
out vec4 oColor;

void main() {
  vec4 front = texelFetch(uPicture, ivec2(gl_FragCoord.xy) - uOrigin, 0);
  float through = 1.0 - front.a;
  vec4 all = front + through * vec4(uBackground.rgb * uBackground.a, uBackground.a);
  oColor = vec4(clamp(all.rgb, 0.0, 1.0), all.a);
}`;
