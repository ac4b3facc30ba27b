// Prints what three.js makes of a .glb: node --input-type=module -e "$(cat three.mjs)" FILE SECONDS, in the folder of its node_modules.
globalThis.self = globalThis; // three's WebGPU build expects a browser's name for it
const { readFileSync } = await import("node:fs");
const { AnimationMixer, Vector3 } = await import("three");
const { GLTFLoader } = await import("three/addons/loaders/GLTFLoader.js");
const { GLTFGaussianSplatLoaderExtension } = await import("three/addons/loaders/GLTFGaussianSplatLoaderExtension.js");

const [file, seconds] = process.argv.slice(-2), bytes = readFileSync(file);
const loader = new GLTFLoader().register((parser) => new GLTFGaussianSplatLoaderExtension(parser));
const gltf = await loader.parseAsync(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), "");
const [stage, rig] = gltf.scenes, found = {};
stage.traverse((object) => (object.isGaussianSplat ? (found.splats = object.splatGeometry) : 0));
rig.traverse((object) => (object.isSkinnedMesh ? (found.mesh = object) : 0));
const { splats, mesh } = found;

const mixer = new AnimationMixer(rig);
mixer.clipAction(gltf.animations[0]).play();
mixer.setTime(Number(seconds));
rig.updateMatrixWorld(true);
const vertices = Array.from({ length: mesh.geometry.attributes.position.count }, (_, i) =>
  mesh.localToWorld(mesh.getVertexPosition(i, new Vector3())).toArray());
const array = (name) => Array.from(splats.getAttribute(name).array);
console.log(JSON.stringify({
  position: array("position"), covariance: array("covariance"), color: array("color"),
  targets: Object.keys(mesh.morphTargetDictionary), vertices, shown: gltf.scenes.indexOf(gltf.scene),
}));
