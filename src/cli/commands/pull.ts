import type { Command } from "commander";
import { interruptible } from "../attach/interruption.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { imageName } from "../output/machine-text.ts";

interface Options {
  platform?: string;
  quiet?: true;
  json?: true;
}

/** `supermachine pull` */
export const pull: CommandDefinition = { define, operands: [{ kind: "image" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Brings an image into the local store, or up to date: the registry is asked, and only what is missing is " +
        "fetched. Prints the image's name and digest.",
    )
    .usage("[options] IMAGE")
    .argument(
      "<image>",
      "image reference, or oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, - for standard input",
    )
    .option("--platform <os/arch[/variant]>", "take this variant of the image")
    .option("-q, --quiet", "no progress");
  examples(command, [
    ["pull python:3.12-slim", "From Docker Hub"],
    ["pull ghcr.io/owner/app@sha256:...", "An exact image from another registry"],
    ["pull --platform linux/arm64 alpine", "For another kind of machine"],
  ]);
  action<Options>(command, cli, async ([name = ""], options) => {
    const { Image } = await cli.library();
    const progress = cli.startProgress({ quiet: options.quiet === true });
    const image = await interruptible(cli, (signal) =>
      Image.pull(name, { platform: options.platform, onProgress: progress.listener, signal }),
    );
    cli.endProgress();
    if (options.json === true) cli.printJson(image);
    else cli.print(`${imageName(image.reference)} ${image.digest}\n`);
    return 0;
  });
}
