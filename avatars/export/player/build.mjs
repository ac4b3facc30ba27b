// Builds dist/: scripts, one style sheet, one page. Everything that a static host needs beside a bundle.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";

const banner = { js: "/* avatar player; Apache-2.0 */" };
await mkdir("dist", { recursive: true });
const common = { bundle: true, minify: true, format: "iife", target: "es2022", legalComments: "none", banner };
await build({ ...common, entryPoints: ["src/main.ts"], outfile: "dist/player.js" });
await build({ ...common, entryPoints: ["src/capture.ts"], outfile: "dist/capture.js" }); // the sound thread's part
for (const name of ["index.html", "page.css"]) await copyFile(`src/${name}`, `dist/${name}`);
