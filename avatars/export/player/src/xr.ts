// A headset: the head at life size, at arm's length before the wearer's eyes.

import { GL } from "./gl";
import { Vec3 } from "./maths";
import { eyeView } from "./view";
import { View } from "./splats";

// The part of WebXR that is used; TypeScript's own library does not describe it.
interface XrView { projectionMatrix: Float32Array; transform: { matrix: Float32Array; position: DOMPointReadOnly } }
interface XrFrame { getViewerPose(space: unknown): { views: XrView[]; transform: XrView["transform"] } | null }
export interface XrSession {
  requestReferenceSpace(kind: string): Promise<unknown>;
  requestAnimationFrame(callback: (time: number, frame: XrFrame) => void): number;
  updateRenderState(state: object): void | Promise<void>;
  addEventListener(name: string, callback: () => void): void;
  end(): Promise<void>;
  renderState: { baseLayer: { framebuffer: WebGLFramebuffer | null; getViewport(view: XrView): DOMRect } };
}
interface Xr { isSessionSupported(mode: string): Promise<boolean>; requestSession(mode: string, options?: object): Promise<XrSession> }

const DISTANCE = 0.75;

const system = (): Xr | undefined => (navigator as unknown as { xr?: Xr }).xr;

export async function vrAvailable(): Promise<boolean> {
  return (await system()?.isSessionSupported("immersive-vr").catch(() => false)) ?? false;
}

/**
 * Show the avatar in a headset until the session ends.
 * @param frame called per frame with the views of both eyes (offsets in the layer) and the wearer's place, canonical
 */
export async function enterVr(
  gl: GL,
  frame: (time: number, eyes: { view: View; x: number; y: number }[], into: WebGLFramebuffer | null, viewer: Vec3) => void,
  ended: () => void,
): Promise<XrSession> {
  const session = await system()!.requestSession("immersive-vr", { optionalFeatures: ["local"] });
  await (gl as unknown as { makeXRCompatible(): Promise<void> }).makeXRCompatible();
  const Layer = (window as unknown as { XRWebGLLayer: new (session: XrSession, gl: GL, options: object) => object }).XRWebGLLayer;
  await session.updateRenderState({ baseLayer: new Layer(session, gl, { antialias: false, depth: false }) });
  const space = await session.requestReferenceSpace("local");
  let place: Vec3 | null = null;
  session.addEventListener("end", ended);
  const loop = (time: number, xrFrame: XrFrame) => {
    session.requestAnimationFrame(loop);
    const pose = xrFrame.getViewerPose(space);
    if (!pose) return;
    const { baseLayer } = session.renderState, at = pose.transform.position;
    // The first sight decides where the head is: level with the wearer's eyes, in front.
    place ??= inFront(pose.transform.matrix);
    const eyes = pose.views.map((v) => {
      const port = baseLayer.getViewport(v);
      return { view: eyeView(v.transform.matrix, v.projectionMatrix, place!, port.width, port.height), x: port.x, y: port.y };
    });
    frame(time, eyes, baseLayer.framebuffer, [at.x - place[0], at.y - place[1], at.z - place[2]]);
  };
  session.requestAnimationFrame(loop);
  return session;
}

/** Where to put the head's origin so that its eyes meet the wearer's. It faces +z, towards a wearer who looks along -z. */
function inFront(m: Float32Array): Vec3 {
  return [m[12], m[13] - 0.017, m[14] - DISTANCE];
}
