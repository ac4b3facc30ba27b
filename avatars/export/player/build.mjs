// Builds dist/: one script, one style sheet, one page. Everything that a static host needs beside a bundle.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";

const banner = { js: "/* avatar player; Apache-2.0 */" };
await mkdir("dist", { recursive: true });
await build({
  entryPoints: ["src/main.ts"],
  outfile: "dist/player.js",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "none",
  banner,
});
for (const name of ["index.html", "page.css"]) await copyFile(`src/${name}`, `dist/${name}`);
