import type { ByteString, DirectoryNode, TreeNode } from "../tree.ts";
import { checkEntryName, checkNode } from "./check-node.ts";
import { planDirectory } from "./directory-plan.ts";
import { InodeRecord } from "./inode-record.ts";

/**
 * Walks the tree once and lists its inodes in the order in which they will lie in the image: the root, then the
 * children of a directory side by side, so that reading a directory and the inodes in it touches few blocks. A node
 * that is reached by several names is one inode with several links.
 */
export function collectInodes(root: DirectoryNode): InodeRecord[] {
  const byNode = new Map<TreeNode, InodeRecord>();
  const records: InodeRecord[] = [];
  const rootRecord = new InodeRecord(root, undefined, "");
  add(rootRecord, { byNode, records });
  // A list of directories instead of recursion: the depth of a hostile tree must not exhaust the stack.
  const pending = [rootRecord];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const subdirectories = addChildren(directory, { byNode, records });
    for (const record of subdirectories.reverse()) pending.push(record);
  }
  return records;
}

interface Collected {
  readonly byNode: Map<TreeNode, InodeRecord>;
  readonly records: InodeRecord[];
}

function addChildren(record: InodeRecord, { byNode, records }: Collected): InodeRecord[] {
  const { entries } = record.node as DirectoryNode;
  const names: ByteString[] = [...entries.keys()];
  for (const name of names) checkEntryName(name, record);
  names.push(".", "..");
  names.sort();
  const children: InodeRecord[] = [];
  const subdirectories: InodeRecord[] = [];
  for (const name of names) {
    const node = entries.get(name);
    if (node === undefined) {
      children.push(name === "." ? record : (record.parent ?? record));
      continue;
    }
    let child = byNode.get(node);
    if (child === undefined) {
      child = new InodeRecord(node, record, name);
      add(child, { byNode, records });
      if (node.type === "directory") subdirectories.push(child);
    } else if (node.type === "directory") {
      throw new TypeError(`The directory ${child.path} is in the tree twice`);
    } else child.links++;
    children.push(child);
  }
  // Its own ".", the name in its parent, and each subdirectory's "..".
  record.links = 2 + subdirectories.length;
  record.directory = planDirectory(names, children);
  return subdirectories;
}

function add(record: InodeRecord, { byNode, records }: Collected): void {
  checkNode(record);
  byNode.set(record.node, record);
  records.push(record);
}
