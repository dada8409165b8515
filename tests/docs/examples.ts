import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { checkout } from "../fixtures/images.ts";

/**
 * One ```ts block of a docstring or a page. Blocks that import from "supermachine" are whole programs. All others are fragments:
 * they run in an async function that has everything the package exports, and `machine`, a running machine of busybox.
 */
export interface Example {
  /** "src/machine/machine.ts:42" */
  readonly where: string;
  readonly code: string;
  readonly kind: "program" | "fragment";
  /** Name of the compiled module. */
  readonly module: string;
  /** What its lines say they print: a comment behind console.log or process.stdout.write is the output. */
  readonly prints: readonly string[];
}

/** Every example of the public files and pages. */
export async function documentedExamples(): Promise<Example[]> {
  const { publicFiles } = (await import(join(checkout, "tools", "public-symbols.mjs"))) as {
    publicFiles(root: string): string[];
  };
  const pages = readdirSync(join(checkout, "docs")).filter((name) => name.endsWith(".md"));
  const files = [...publicFiles(checkout), "README.md", ...pages.map((name) => join("docs", name))];
  return files.flatMap(examplesOf);
}

/** Writes the examples as modules into a folder where "supermachine" is this checkout, and compiles them. Returns what the compiler says. */
export async function compileExamples(examples: readonly Example[], folder: string): Promise<string> {
  mkdirSync(join(folder, "node_modules"), { recursive: true });
  symlinkSync(checkout, join(folder, "node_modules", "supermachine"));
  symlinkSync(join(checkout, "node_modules", "@types"), join(folder, "node_modules", "@types"));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.mts"] }));
  for (const example of examples) writeFileSync(join(folder, `${example.module}.mts`), moduleText(example));
  const compiler = join(checkout, "node_modules", ".bin", "tsc");
  const done = promisify(execFile)(compiler, ["-p", folder], { cwd: folder });
  return await done.then(
    () => "",
    (error: { stdout: string; stderr: string }) => error.stdout + error.stderr,
  );
}

/** What a user's project would say; the target has no `using`, so that the result runs on every supported Node. */
const compilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  target: "es2023",
  lib: ["es2023", "esnext.disposable"],
  module: "nodenext",
  types: ["node"],
};

function examplesOf(file: string): Example[] {
  const text = readFileSync(join(checkout, file), "utf8");
  const found: Example[] = [];
  for (const match of text.matchAll(/^([ ]*(?:\* )?)```ts\n([\s\S]*?)^\1```/gm)) {
    const margin = (match[1] ?? "").trimEnd();
    const line = text.slice(0, match.index).split("\n").length;
    const lines = (match[2] ?? "")
      .split("\n")
      .map((one) => one.slice(margin.length).replace(/^ (?=\S| |$)/, ""));
    const code = (margin === "" ? match[2] : lines.join("\n")) ?? "";
    const kind = /from "supermachine"/.test(code) ? "program" : "fragment";
    const module = `example-${file.replace(/\W+/g, "-")}-${line}`;
    found.push({ where: `${file}:${line}`, code, kind, module, prints: promises(code) });
  }
  return found;
}

function promises(code: string): string[] {
  return [...code.matchAll(/(?:console\.log|process\.stdout\.write)\(.*\); \/\/ (.+)$/gm)].map(
    (match) => match[1] ?? "",
  );
}

function moduleText({ code, kind }: Example): string {
  if (kind === "program") return code;
  return `import { doctor, errorCodes, Image, Machine, SupermachineError } from "supermachine";
export default async function (machine: Machine): Promise<void> {
${code}}
`;
}
