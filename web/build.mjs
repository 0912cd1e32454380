/**
 * Builds the pages into dist/, or the unit tests into build/tests/ (`--tests`).
 *
 * esbuild and these few lines instead of a dev-server stack: one development dependency, a build
 * of well under a second, and nothing in the output that was not asked for (the backend's
 * content security policy allows no inline script or style). A page is `pages/NAME.html` with its
 * entry `src/NAME/main.ts` and `src/styles/NAME.css`; index.html is the call page.
 */
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";

const ENTRY_OF_PAGE = { index: "call" };

async function buildTests() {
  const names = (await readdir("tests")).filter((name) => name.endsWith(".test.ts"));
  await rm("build/tests", { recursive: true, force: true });
  await build({
    entryPoints: names.map((name) => path.join("tests", name)),
    outdir: "build/tests",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    logLevel: "warning",
  });
}

async function buildPages() {
  const pages = (await readdir("pages")).map((name) => path.parse(name).name);
  const entries = pages.map((page) => ENTRY_OF_PAGE[page] ?? page);
  await rm("dist", { recursive: true, force: true });
  const { metafile } = await build({
    entryPoints: entries.flatMap((entry) => [
      { in: `src/${entry}/main.ts`, out: entry },
      { in: `src/styles/${entry}.css`, out: entry },
    ]),
    outdir: "dist/assets",
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    sourcemap: false,
    legalComments: "linked",
    metafile: true,
    logLevel: "warning",
  });
  const built = builtNames(metafile);
  await cp("public", "dist", { recursive: true });
  for (const page of pages) {
    const entry = ENTRY_OF_PAGE[page] ?? page;
    const html = (await readFile(`pages/${page}.html`, "utf8"))
      .replace("assets/page.css", built[`src/styles/${entry}.css`])
      .replace("assets/page.js", built[`src/${entry}/main.ts`]);
    await writeFile(`dist/${page}.html`, html);
  }
  report(metafile);
}

function builtNames(metafile) {
  const outputs = Object.entries(metafile.outputs).filter(([, output]) => output.entryPoint);
  return Object.fromEntries(
    outputs.map(([name, output]) => [output.entryPoint, path.relative("dist", name)]),
  );
}

function report(metafile) {
  for (const [name, output] of Object.entries(metafile.outputs)) {
    if (!name.endsWith(".txt")) {
      console.log(`${name}  ${(output.bytes / 1024).toFixed(1)} kB`);
    }
  }
}

await mkdir("build", { recursive: true });
await (process.argv.includes("--tests") ? buildTests() : buildPages());
