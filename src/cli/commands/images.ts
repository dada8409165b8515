import type { Command } from "commander";
import type { ImageInfo } from "../../machine/image.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { imageName } from "../output/machine-text.ts";
import { formatAge, formatBytes } from "../output/quantities.ts";
import { type Column, formatTable } from "../output/table.ts";

interface Options {
  quiet?: true;
  json?: true;
  trunc: boolean;
}

/** `supermachine images` */
export const images: CommandDefinition = { define };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description("Lists the images in the local store.")
    .option("-q, --quiet", "print names only")
    .option("--no-trunc", "print digests in full");
  examples(command, [
    ["images", "What can run without a registry"],
    ["images --json", "The same for a program: an array of objects"],
  ]);
  action<Options>(command, cli, async (_, options) => {
    const { Image } = await cli.library();
    const all = await Image.list();
    if (options.json === true) cli.printJson(all);
    else if (options.quiet === true)
      cli.print(all.map(({ reference }) => `${imageName(reference)}\n`).join(""));
    else cli.print(formatTable(all, columns({ nowMs: Date.now(), truncate: options.trunc })));
    return 0;
  });
}

function columns({ nowMs, truncate }: { nowMs: number; truncate: boolean }): Column<ImageInfo>[] {
  return [
    { title: "IMAGE", value: ({ reference }) => imageName(reference) },
    { title: "DIGEST", value: ({ digest }) => (truncate ? shortDigest(digest) : digest) },
    { title: "PLATFORM", value: ({ platform }) => platform },
    { title: "PULLED", value: ({ pulledAt }) => formatAge(nowMs - pulledAt) },
    { title: "SIZE", value: ({ size }) => formatBytes(size) },
  ];
}

/** The first 12 hex digits, without the algorithm. */
function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, 12);
}
