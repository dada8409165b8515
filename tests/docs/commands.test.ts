// Every command line in the documentation exists, with every option it uses.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkout } from "../fixtures/images.ts";

test("commands and options on the pages are those of the command line", () => {
  const names = readdirSync(join(checkout, "docs")).filter((name) => name.endsWith(".md"));
  const pages = ["README.md", ...names.map((name) => join("docs", name))];
  const lines = pages.flatMap((page) =>
    [...readFileSync(join(checkout, page), "utf8").matchAll(/supermachine ([a-z]+(?: [^`|&)\n]*)?)/g)].map(
      (match) => (match[1] ?? "").split("  #")[0] ?? "",
    ),
  );
  const used = lines.map((line) => line.split(" ")).filter(([name = ""]) => commands().has(name));
  assert.ok(used.length > 10, `only ${used.length} command lines were found`);
  for (const [first = "", ...after] of used) {
    const { name, words } = own(first, after);
    const help = helpOf(name);
    // What follows the first word that is no option may belong to the guest's command.
    const firstPlain = words.findIndex((word) => !word.startsWith("-"));
    const options = (firstPlain === -1 ? words : words.slice(0, firstPlain)).flatMap(separate);
    for (const option of options)
      assert.ok(
        new RegExp(`^ +(-\\w, )?${option}[ ,]`, "m").test(help),
        `supermachine ${name} has no ${option}`,
      );
  }
});

/** One of a command's own commands (`snapshots ls`), where the line names one. */
function own(name: string, words: string[]): { name: string; words: string[] } {
  const [second = "", ...rest] = words;
  const isOwn = new RegExp(`^ {2}${second.replace(/\W/g, "\\$&")} {2,}\\S`, "m").test(
    commandsIn(helpOf(name)),
  );
  return isOwn && second !== "" ? { name: `${name} ${second}`, words: rest } : { name, words };
}

function commandsIn(help: string): string {
  return help.split("\nCommands:\n")[1]?.split("\n\n")[0] ?? "";
}

/** "-it" is "-i" and "-t"; a lone "-" is standard input. */
function separate(word: string): string[] {
  if (word === "-") return [];
  return /^-\w+$/.test(word)
    ? [...word.slice(1)].map((letter) => `-${letter}`)
    : [word.split("=")[0] ?? word];
}

const helps = new Map<string, string>();

function helpOf(command: string): string {
  const known = helps.get(command);
  if (known !== undefined) return known;
  const help = execFileSync(join(checkout, "bin", "supermachine"), [...command.split(" "), "--help"], {
    encoding: "utf8",
  });
  helps.set(command, help);
  return help;
}

function commands(): Set<string> {
  const overview = helpOf("--help");
  return new Set([...overview.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map((match) => match[1] ?? ""));
}
