import { execFileSync } from "node:child_process";
import type { ByteString, DirectoryNode, TreeNode } from "../../src/rootfs/tree.ts";

/** Adds the extended attributes of a folder of this machine to the tree that was read from it, by way of getfattr. */
export function addXattrs(root: DirectoryNode, folder: string): void {
  const output = execFileSync(
    "getfattr",
    ["--recursive", "--physical", "--no-dereference", "-d", "-m", "-", "-e", "hex", "."],
    {
      cwd: folder,
      encoding: "latin1",
      maxBuffer: 64 * 2 ** 20,
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  for (const block of output.split("\n\n")) {
    const [head = "", ...lines] = block.split("\n").filter((line) => line !== "");
    if (!head.startsWith("# file: ")) continue;
    const xattrs = new Map(lines.map(attribute));
    nodeAt(root, unescaped(head.slice("# file: ".length))).xattrs = xattrs;
  }
}

function attribute(line: string): [ByteString, Uint8Array] {
  const equals = line.indexOf("=");
  if (equals < 0) return [unescaped(line), new Uint8Array(0)];
  return [unescaped(line.slice(0, equals)), Uint8Array.from(Buffer.from(line.slice(equals + 3), "hex"))];
}

/** getfattr writes what is not printable as three octal digits. */
function unescaped(text: string): ByteString {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function nodeAt(root: DirectoryNode, path: ByteString): TreeNode {
  let node: TreeNode = root;
  for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
    const next: TreeNode | undefined = node.type === "directory" ? node.entries.get(name) : undefined;
    if (next === undefined) throw new Error(`getfattr names '${path}', which is not in the tree`);
    node = next;
  }
  return node;
}
