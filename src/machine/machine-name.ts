import { randomInt } from "node:crypto";

const adjectives =
  "amber ample brave brisk calm clear cosy crisp deft eager early even fair fine fleet fond frank fresh gentle glad grand happy hardy keen kind light lively lucky mellow merry mild neat nimble noble plain polite prime proud quick quiet rapid ready rosy sharp silent smart smooth snug solid spry steady still sunny swift tidy trusty vivid warm wise witty young".split(
    " ",
  );
const nouns =
  "acorn alder anchor badger barley basil beacon birch bison bramble breeze brook cedar clover cobalt comet copper coral cricket dune falcon fern finch fjord gannet garnet ginger glacier granite harbor hazel heron indigo iris jasper juniper kestrel lagoon lantern larch linnet lupin lynx maple marten meadow nettle oak olive onyx orchid otter pebble petrel pine plover poppy quartz raven reed robin rowan saffron sage sorrel sparrow spruce tern thistle thrush topaz tulip walnut willow wren yarrow".split(
    " ",
  );

/** Two words that people can remember and type: "keen-otter". Not unique by itself. */
export function generateName(): string {
  return `${pick(adjectives)}-${pick(nouns)}`;
}

function pick(words: readonly string[]): string {
  return words[randomInt(words.length)] ?? "plain";
}
