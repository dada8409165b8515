import type { Command, Option } from "commander";
import type { Cli } from "../cli.ts";
import { buildCommand, type CommandDefinition } from "../command-definition.ts";
import { type CommandEntry, commandTable } from "../command-table.ts";
import { imageName, shortSnapshotId } from "../output/machine-text.ts";
import { printable } from "../output/printable.ts";
import type { Suggestion } from "./suggestion.ts";

/** Tells the shell's script to offer files of this host as well. */
export const filesDirective = ":files";

/** One thing the shell may offer. */
interface Candidate {
  readonly value: string;
  readonly description?: string;
}

/**
 * What the completion scripts ask for: candidates for the last of `words` (which may be empty), one a line, each
 * with a description after a tab where there is one. Never fails: completion must not print errors into a prompt.
 */
export async function completeWords(cli: Cli, words: readonly string[]): Promise<string> {
  const current = words.at(-1) ?? "";
  try {
    const { candidates, files } = await candidatesFor(cli, words);
    const lines = candidates
      .filter(({ value }) => value.startsWith(current))
      .map(({ value, description }) =>
        description === undefined ? printable(value) : `${printable(value)}\t${printable(description)}`,
      );
    return [...lines, ...(files ? [filesDirective] : []), ""].join("\n");
  } catch (error) {
    if (cli.debug) throw error;
    return "";
  }
}

interface Offer {
  readonly candidates: readonly Candidate[];
  /** Files of this host fit as well. */
  readonly files: boolean;
}

async function candidatesFor(cli: Cli, words: readonly string[]): Promise<Offer> {
  const before = words.slice(0, -1);
  const name = before.find((word) => !word.startsWith("-"));
  if (name === undefined) return offer(rootCandidates());
  if (name === "help") return offer(commandCandidates());
  const entry = commandTable.find((candidate) => candidate.name === name);
  if (entry === undefined) return offer([]);
  const after = before.slice(before.indexOf(name) + 1);
  if (entry.commands === undefined) return await offerOf(cli, { entry, after, current: words.at(-1) ?? "" });
  const ownName = after.find((word) => !word.startsWith("-"));
  if (ownName === undefined) return offer([...namesOf(entry.commands), { value: "--help" }]);
  const own = entry.commands.find((candidate) => candidate.name === ownName);
  if (own === undefined) return offer([]);
  const rest = after.slice(after.indexOf(ownName) + 1);
  return await offerOf(cli, { entry: own, after: rest, current: words.at(-1) ?? "" });
}

/** For the word `current` of a command, behind the words `after` its name. */
async function offerOf(
  cli: Cli,
  {
    entry,
    after,
    current,
  }: { entry: Pick<CommandEntry, "name" | "load">; after: readonly string[]; current: string },
): Promise<Offer> {
  const definition = await entry.load();
  const command = buildCommand(entry.name, cli, definition);
  const place = placeOf(after, {
    command,
    endsAtOperand: definition.runsGuestCommand === true,
  });
  if (place.kind === "value") return suggest(cli, valueSuggestion(definition, place.option));
  if (place.kind === "option-or-operand" && current.startsWith("-")) {
    const inline = /^(--[^=]+)=/.exec(current);
    if (inline === null) return offer(optionCandidates(command));
    const option = findOption(command, inline[1] ?? "");
    if (option === undefined) return offer([]);
    const { candidates, files } = await suggest(cli, valueSuggestion(definition, option));
    return { candidates: candidates.map((one) => ({ ...one, value: `${inline[0]}${one.value}` })), files };
  }
  const operands = definition.operands ?? [];
  const suggestion = operands[Math.min(place.index, operands.length - 1)] ?? { kind: "none" };
  const namesFile = suggestion.kind === "image" && transports.some(({ value }) => current.startsWith(value));
  return namesFile ? { candidates: [], files: true } : suggest(cli, suggestion);
}

type Place =
  | { readonly kind: "value"; readonly option: Option }
  | { readonly kind: "option-or-operand" | "operand"; readonly index: number };

/** Where on the command line the next word stands, after the words between the command and it. */
function placeOf(
  words: readonly string[],
  { command, endsAtOperand }: { command: Command; endsAtOperand: boolean },
): Place {
  let operands = 0;
  let pending: Option | undefined;
  let optionsEnded = false;
  for (const word of words) {
    if (pending !== undefined) pending = undefined;
    else if (optionsEnded || !word.startsWith("-") || word === "-") {
      operands++;
      optionsEnded ||= endsAtOperand;
    } else if (word === "--") optionsEnded = true;
    else pending = optionAwaitingValue(command, word);
  }
  if (pending !== undefined) return { kind: "value", option: pending };
  return { kind: optionsEnded ? "operand" : "option-or-operand", index: operands };
}

/** The option whose value is the word after this one: `--env`, `-e`, `-ite`; not `--env=A`, `-eA`. */
function optionAwaitingValue(command: Command, word: string): Option | undefined {
  if (word.startsWith("--")) {
    const option = word.includes("=") ? undefined : findOption(command, word);
    return option?.required === true ? option : undefined;
  }
  for (let index = 1; index < word.length; index++) {
    const option = findOption(command, `-${word[index]}`);
    if (option === undefined) return undefined;
    if (option.required) return index === word.length - 1 ? option : undefined;
  }
  return undefined;
}

function findOption(command: Command, flag: string): Option | undefined {
  return command.options.find(({ short, long }) => short === flag || long === flag);
}

function valueSuggestion(definition: CommandDefinition, option: Option): Suggestion {
  if (option.argChoices !== undefined) return { kind: "words", words: option.argChoices };
  return definition.optionValues?.[option.long ?? ""] ?? { kind: "none" };
}

function rootCandidates(): Candidate[] {
  return [
    ...commandCandidates(),
    { value: "help", description: "Show the help of a command" },
    { value: "--help" },
    { value: "--version" },
  ];
}

function commandCandidates(): Candidate[] {
  return namesOf(commandTable);
}

function namesOf(entries: readonly Pick<CommandEntry, "name" | "summary">[]): Candidate[] {
  return entries.map(({ name, summary }) => ({ value: name, description: summary }));
}

function optionCandidates(command: Command): Candidate[] {
  return [
    ...command.options.map(({ long, short, description }) => ({ value: long ?? short ?? "", description })),
    { value: "--help", description: "show this help" },
  ];
}

async function suggest(cli: Cli, suggestion: Suggestion): Promise<Offer> {
  switch (suggestion.kind) {
    case "machine":
      return offer(await machineCandidates(cli, { all: true }));
    case "running-machine":
      return offer(await machineCandidates(cli, { all: false }));
    case "image":
      // Transports name files: "oci:", "docker-archive:".
      return offer([...(await imageCandidates(cli)), ...transports]);
    case "snapshot":
      return offer(await snapshotCandidates(cli));
    case "object":
      return offer([...(await machineCandidates(cli, { all: true })), ...(await imageCandidates(cli))]);
    case "copy": {
      const machines = await machineCandidates(cli, { all: false });
      return { candidates: machines.map((one) => ({ ...one, value: `${one.value}:` })), files: true };
    }
    case "command":
      return offer(commandCandidates());
    case "words":
      return offer(suggestion.words.map((value) => ({ value })));
    case "file":
      return { candidates: [], files: true };
    case "none":
      return offer([]);
  }
}

const transports: readonly Candidate[] = [
  { value: "oci:", description: "a folder in OCI image layout" },
  { value: "oci-archive:", description: "the same in a tar file" },
  { value: "docker-archive:", description: "what docker save writes" },
];

async function machineCandidates(cli: Cli, options: { all: boolean }): Promise<Candidate[]> {
  const { Machine } = await cli.library();
  const machines = await Machine.list(options);
  return machines.map(({ name, image, state }) => ({
    value: name,
    description: `${imageName(image)}, ${state}`,
  }));
}

async function imageCandidates(cli: Cli): Promise<Candidate[]> {
  const { Image } = await cli.library();
  return (await Image.list()).map(({ reference, platform }) => ({
    value: imageName(reference),
    description: platform,
  }));
}

/** By name where there is one. */
async function snapshotCandidates(cli: Cli): Promise<Candidate[]> {
  const Snapshot = await (await cli.library()).snapshots();
  return (await Snapshot.list()).flatMap(({ id, names, image, kind }) => {
    const description = image === undefined ? kind : `${imageName(image)}, ${kind}`;
    return (names.length === 0 ? [shortSnapshotId(id)] : names).map((value) => ({ value, description }));
  });
}

function offer(candidates: readonly Candidate[]): Offer {
  return { candidates, files: false };
}
