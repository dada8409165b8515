#!/usr/bin/env node
// Makes dist/bundle, the form that is published and that bin/supermachine runs: a few files in place of hundreds, which
// is most of what starting the command line costs. They are CommonJS modules, which Node loads faster than ES modules.
// Types and tests use what the compiler makes in dist/src.
// usage: tools/build-bundle.mjs
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { builtinModules, isBuiltin as isBuiltIn } from "node:module";
import { basename, join } from "node:path";
import { rolldown } from "rolldown";

const root = join(import.meta.dirname, "..");
const finished = join(root, "dist", "bundle");
/** Made here and then moved, so that a failure leaves no half of it behind. */
const target = `${finished}.new`;
/** Native, so it stays a package of its own. */
const external = ["koffi"];

/** The bundler makes late imports of our modules into plain calls, but leaves those of Node's own as they are. */
const whyNotLate =
  "which a script from the compile cache cannot: import a module of ours late that imports it early";

/** What is loaded by its file's name: programs, and modules that `new URL("./name.js", import.meta.url)` leads to. */
const programs = ["src/index.ts", "src/cli/start.ts", "src/machine/monitor-process.ts"];
const workers = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".worker.ts"))
  .map((name) => join("src", name));
/**
 * Files of modules that are loaded together, each with all that the named modules import and no file before it holds:
 * so a file needs only files before it. "common" is what a program may want without the command line. What is in none
 * of them gets files of its own, as it is imported when it is needed.
 */
const parts = [
  {
    name: "common",
    modules: ["src/cli/start.ts", "src/cli/run-process.ts"],
    within: ["src/index.ts", "src/machine/monitor-process.ts"],
  },
  { name: "command-line", modules: ["src/cli/run-process.ts"] },
  { name: "run", modules: ["src/cli/commands/run.ts"] },
  { name: "head-start", modules: ["src/engine/vmm/head-start.ts"] },
  { name: "machine", modules: ["src/machine/machine.ts", "src/machine/image.ts", "src/image/reference.ts"] },
  { name: "images", modules: ["src/image/host/image-store.ts"] },
  { name: "monitor", modules: ["src/machine/monitor-parts.ts", "src/machine/run-detached.ts"] },
  { name: "create", modules: ["src/machine/create-machine.ts", "src/machine/default-parts.ts"] },
  { name: "library", modules: ["src/index.ts"] },
];

/** Commander loads it for commands that are programs of their own; we have none, and it takes long to load. */
const commanderAlone = {
  name: "commander-alone",
  resolveId: (source, importer) =>
    source === "node:child_process" && /[\\/]commander[\\/]/.test(importer ?? "") ? "\0no-programs" : null,
  load: (id) => (id === "\0no-programs" ? "export {};" : null),
};

rmSync(target, { recursive: true, force: true });
const chunks = await bundle(programs, {
  groups: [{ debugName: "parts", name: await partNames() }],
  // The parts say already where these are.
  includeDependenciesRecursively: false,
});
// A thread loads one file, which holds nothing of its parent's.
for (const worker of workers) chunks.push(...(await bundle([worker], false)));
const problems = chunks.flatMap(missingFrom);
for (const problem of problems) console.error(`build-bundle: ${problem}`);
if (problems.length > 0) process.exit(1);
writeFileSync(join(target, "LICENSES.md"), licences());
// The package's own says that its files are ES modules.
writeFileSync(join(target, "package.json"), '{ "type": "commonjs" }\n');
rmSync(finished, { recursive: true, force: true });
renameSync(target, finished);

/** Files lie side by side, so that a module's path beside itself leads to the same module as in dist/src. */
async function bundle(entries, codeSplitting) {
  const build = await rolldown(inputOf(entries));
  try {
    const { output } = await build.write({
      dir: target,
      format: "cjs",
      entryFileNames: "[name].js",
      chunkFileNames: "[name]-[hash].js",
      comments: { legal: true, annotation: false, jsdoc: false },
      codeSplitting,
    });
    return output.filter((file) => file.type === "chunk");
  } finally {
    await build.close();
  }
}

function inputOf(entries, plugins = []) {
  return {
    cwd: root,
    input: Object.fromEntries(entries.map((entry) => [basename(entry, ".ts"), entry])),
    platform: "node",
    external,
    plugins: [commanderAlone, ...plugins],
    // The library's module exports what its source says: no part holds it, so that nothing is added to it.
    preserveEntrySignatures: "allow-extension",
    transform: { target: "node20.19" },
    // Nothing here is imported for what loading it does.
    treeshake: { moduleSideEffects: [{ test: /[\\/]src[\\/]/, sideEffects: false }] },
    onLog: (level, log) => {
      if (level === "warn") throw new Error(log.message);
    },
  };
}

/** A function from a module's path to the name of its part. */
async function partNames() {
  const graph = new Map();
  const reader = {
    name: "import-graph",
    buildEnd() {
      for (const id of this.getModuleIds()) graph.set(id, this.getModuleInfo(id).importedIds);
    },
  };
  const build = await rolldown(inputOf(programs, [reader]));
  await build.generate();
  await build.close();
  const reachable = (modules) => {
    const found = new Set(modules.map((module) => join(root, module)));
    for (const id of found) for (const next of graph.get(id) ?? []) found.add(next);
    return found;
  };
  const names = new Map();
  for (const { name, modules, within } of parts) {
    const allowed = within && reachable(within);
    for (const id of reachable(modules))
      if (!names.has(id) && allowed?.has(id) !== false) names.set(id, name);
  }
  // A program is run by loading it, and its parts are loaded by others as well.
  for (const program of programs) names.delete(join(root, program));
  // The bundler's own helpers have names that are no paths.
  return (id) => names.get(id) ?? (id.startsWith("\0") ? "common" : null);
}

/** What a chunk would look for in vain. */
function missingFrom({ fileName, code, imports, dynamicImports }) {
  const known = new Set([...readdirSync(target), ...external, ...builtinModules]);
  const beside = [...code.matchAll(/new URL\(["'`]\.\/([^"'`$]+)["'`], import\.meta\.url\)/g)];
  return [...imports, ...dynamicImports, ...beside.map((match) => match[1])]
    .filter((name) => !known.has(name.replace(/^node:/, "")))
    .map((name) => `${fileName}: needs ${name}, which is not there`)
    .concat(
      dynamicImports.filter(isBuiltIn).map((name) => `${fileName}: imports ${name} late, ${whyNotLate}`),
    );
}

/** The licences of the packages whose code is in the bundle; they ask to be passed on with it. */
function licences() {
  const ids = chunks.flatMap((chunk) => chunk.moduleIds);
  const packages = new Set(
    ids.map((id) => /.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(id)?.[0]),
  );
  packages.delete(undefined);
  const texts = [...packages].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (file === undefined) throw new Error(`${name} brings no text of its licence`);
    return `## ${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return `# Licences of the packages whose code is in this folder\n\n${texts.join("\n")}`;
}
