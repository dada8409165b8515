// What the package exports, read from the emitted declarations: enough of a parser for the shape in which the compiler
// writes them (declarations at column 0, members at column 4, a docstring directly above).
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Members that explain themselves, or are reached by syntax and not by name. */
const plain = /^(constructor|then|\[.*\])$/;

/** Every file of `src` that declares public symbols, relative to the root of the checkout. */
export function publicFiles(root) {
  return [...new Set([...exportsOf(root, "src/index.ts").values()].map(({ file }) => file))].sort();
}

/** One line for each public symbol or member without a docstring, and for each callable one without an example. */
export function undocumentedSymbols(root) {
  const found = [...exportsOf(root, "src/index.ts")];
  return found.flatMap(([name, { file, declaredAs }]) => symbolProblems(root, { name, file, declaredAs }));
}

function symbolProblems(root, { name, file, declaredAs }) {
  const text = declarations(root, file);
  const found = declaration(text, declaredAs);
  if (found === undefined) return [`${file}: no declaration of ${declaredAs} was found`];
  const problems = docProblems(`${file}: ${name}`, found.doc, { example: isCallable(found.kind) });
  if (found.kind === "class") problems.push(...memberProblems(`${file}: ${name}`, found.body));
  // A constant that is a bundle of functions: its interface is what users call.
  const typeName = found.kind === "const" ? /: (\w+);/.exec(found.head)?.[1] : undefined;
  const facade = typeName === undefined ? undefined : declaration(text, typeName);
  if (facade !== undefined) problems.push(...memberProblems(`${file}: ${name}`, facade.body));
  return problems;
}

function memberProblems(owner, body) {
  const seen = new Set();
  const problems = [];
  const member =
    /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?^ {4}((?:static |readonly |get |set )*)([\w$]+|\[[^\]]+\])\??(<[^\n]*?>)?([(:])/gm;
  for (const [, doc, modifiers, name, , mark] of body.matchAll(member)) {
    // The first of several overloads carries the docstring.
    if (seen.has(name)) continue;
    seen.add(name);
    const example = mark === "(" && !plain.test(name) && !/\b[gs]et /.test(modifiers);
    problems.push(...docProblems(`${owner}.${name}`, doc, { example }));
  }
  return problems;
}

function docProblems(what, doc, { example }) {
  if (doc === undefined) return [`${what} has no docstring`];
  return example && !/@example[\s\S]*```ts\n/.test(doc) ? [`${what} has no example`] : [];
}

function isCallable(kind) {
  return kind === "class" || kind === "function" || kind === "const";
}

/** Exported name -> where it is declared, following re-exports. */
function exportsOf(root, file) {
  const text = declarations(root, file);
  const found = new Map();
  for (const [, names, from] of text.matchAll(/^export (?:type )?\{([^}]*)\}(?: from "([^"]+)")?;/gm))
    for (const one of names
      .split(",")
      .map((part) => part.trim().replace(/^type /, ""))
      .filter(Boolean)) {
      const [declaredAs, name = declaredAs] = one.split(" as ");
      const source = from ?? importSource(text, declaredAs);
      found.set(name, { file: sourcePath(file, source), declaredAs });
    }
  for (const [, from] of text.matchAll(/^export (?:type )?\* from "([^"]+)";/gm))
    for (const [name, where] of exportsOf(root, sourcePath(file, from))) found.set(name, where);
  for (const [, , name] of text.matchAll(
    /^export (declare (?:abstract )?class|declare function|declare const|interface|type) (\w+)/gm,
  ))
    found.set(name, { file, declaredAs: name });
  return found;
}

function importSource(text, name) {
  for (const [, names, from] of text.matchAll(/^import (?:type )?\{([^}]*)\} from "([^"]+)";/gm))
    if (names.split(",").some((part) => part.trim().replace(/^type /, "") === name)) return from;
  throw new Error(`check-docs: nothing imports ${name}`);
}

function declaration(text, name) {
  const pattern = new RegExp(
    `(/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/\\n)?^(?:export )?(?:declare )?(?:abstract )?(class|function|const|interface|type) ${name}\\b`,
    "m",
  );
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const start = match.index + (match[1]?.length ?? 0);
  const end = text.indexOf("\n}", start);
  const body = text.slice(start, end === -1 ? undefined : end);
  return { doc: match[1], kind: match[2], body, head: text.slice(start, text.indexOf("\n", start)) };
}

function declarations(root, file) {
  return readFileSync(join(root, "dist", dirname(file), `${basename(file, ".ts")}.d.ts`), "utf8");
}

function sourcePath(from, specifier) {
  return join(dirname(from), specifier.replace(/\.js$/, ".ts"));
}
