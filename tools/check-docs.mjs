#!/usr/bin/env node
// Fails when the documentation and the code disagree: error codes that one of them does not know, links and named paths
// that do not exist, and public symbols without a docstring or an example.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorCodes } from "../dist/src/errors/codes.js";
import { undocumentedSymbols } from "./public-symbols.mjs";

const root = join(import.meta.dirname, "..");
const problems = [
  ...errorCodeProblems(),
  ...markdownFiles().flatMap((file) => [...brokenLinks(file), ...missingPaths(file)]),
  ...undocumentedSymbols(root),
];

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log("docs: ok");

function errorCodeProblems() {
  const page = readFileSync(join(root, "docs", "errors.md"), "utf8");
  const documented = new Set([...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1]));
  const missing = Object.keys(errorCodes).filter((code) => !documented.has(code));
  const unknown = [...documented].filter((code) => !Object.hasOwn(errorCodes, code));
  return [
    ...missing.map((code) => `docs/errors.md: ${code} is missing`),
    ...unknown.map((code) => `docs/errors.md: ${code} is no error code`),
  ];
}

function markdownFiles() {
  const inFolder = (folder) => readdirSync(join(root, folder)).filter((name) => name.endsWith(".md"));
  return [...inFolder("."), ...inFolder("docs").map((name) => join("docs", name)), "testhost/README.md"];
}

function brokenLinks(file) {
  const text = readFileSync(join(root, file), "utf8");
  const targets = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1]);
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => !existsSync(join(root, dirname(file), target)))
    .map((target) => `${file}: links to ${target}, which does not exist`);
}

/** Paths of this checkout that a page names in code font: `src/cli/`, `tools/check-docs.mjs`. */
function missingPaths(file) {
  const text = readFileSync(join(root, file), "utf8");
  const named = [
    ...text.matchAll(/`((?:src|docs|guest|tests|tools|bench|bin|testhost)\/[\w./-]*)`/g),
    ...text.matchAll(/`([\w./-]+\.(?:ts|mjs|md|c|h))`/g),
  ].map((match) => match[1]);
  return [...new Set(named)]
    .filter((path) => !existsSync(join(root, path)) && !existsSync(join(root, dirname(file), path)))
    .map((path) => `${file}: names ${path}, which does not exist`);
}
