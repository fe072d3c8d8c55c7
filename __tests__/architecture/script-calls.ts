import { sha256, tokenHash } from '../../lib/protocol/digest.ts'
import { redisStores } from '../../lib/redis.ts'
import type { Client, PendingRequest } from '../../lib/stores/ports.ts'
import { writeGrant } from '../../lib/stores/redis/family-record.ts'
import {
  aCode,
  aGrant,
  aHash,
  anId,
  aToken,
  EVERYTHING,
  ROTATE,
  redemptionOf,
  T,
} from '../contracts/contract.ts'
import type { Node, Source } from './sources.ts'

/** A call of a script as it stands in the source. */
export interface ScriptRun {
  readonly file: string
  /** Of the script. */
  readonly name: string
  readonly keys: number | undefined
  readonly args: number | undefined
}

/** Scripts by the constants that hold them. */
function namesOfScripts(nodes: readonly Node[]): [string, string][] {
  return nodes
    .filter(
      ({ type, init }) =>
        type === 'VariableDeclarator' && init?.type === 'CallExpression' && init.callee.value === 'script',
    )
    .map(({ id, init }) => [id.value, init.arguments[0].expression.value])
}

/** Every `run(script, [keys], [arguments])`, also of a script that another file loads. */
export function callsOfRun(sources: readonly Source[]): ScriptRun[] {
  const everywhere = sources.flatMap(({ nodes }) => namesOfScripts(nodes))
  return sources.flatMap(({ file, nodes }) => {
    const names = new Map([...everywhere, ...namesOfScripts(nodes)])
    return nodes.flatMap((node) => {
      if (node.type !== 'CallExpression' || (node.callee.property ?? node.callee).value !== 'run') return []
      const [script, keys, args] = (node.arguments as Node[]).map(({ expression }) => expression as Node)
      const name = names.get(script?.value)
      return name === undefined
        ? []
        : [{ file, name, keys: lengthOf(keys), args: args === undefined ? 0 : lengthOf(args) }]
    })
  })
}

function lengthOf(array: Node | undefined): number | undefined {
  if (array?.type !== 'ArrayExpression') return undefined
  const elements = array.elements as Node[]
  return elements.some(({ spread }) => spread) ? undefined : elements.length
}

/** Texts that would move a slot, end a line or fill a key, if they got into its name. */
export const HOSTILE = [
  '{}',
  '}{',
  '{a}b',
  'a\nb\r\n',
  '\0',
  ' ',
  '',
  '{ring}',
  'x'.repeat(10_000),
  '\u{1F511}',
]

const aGrantRecord = writeGrant(aGrant())

/** Runs every verb of the stores on a connection that only writes down what it is asked. */
export async function callEveryVerb(): Promise<{ sha: string; keys: string[] }[]> {
  const calls: { sha: string; keys: string[] }[] = []
  const connection = {
    on: () => undefined,
    isCluster: false,
    options: {},
    disconnect: () => undefined,
    call: async () => '',
    async callBuffer(_: string, [sha, count, ...rest]: [string, number, ...unknown[]]) {
      calls.push({ sha, keys: rest.slice(0, count).map(String) })
      const head = [rest[count], '0', 'found'].map((text) => Buffer.from(String(text)))
      return [...head, Buffer.alloc(0), aGrantRecord, Buffer.from('1'), Buffer.alloc(0)]
    },
  }
  const stores = redisStores({ ...connection, duplicate: () => connection } as never)
  for (const text of HOSTILE) {
    const code = aCode()
    const grant = { ...code.grant, clientId: text, subject: text, idpSession: { issuer: text, sid: text } }
    const {
      grants,
      clients,
      requests,
      consents,
      replays,
      revocations,
      ring,
      counters,
      accessTokens,
      documents,
      initialAccessTokens,
      places,
    } = stores
    // The answers are none that a verb could use; here only the questions matter.
    await Promise.allSettled([
      grants.issueCode({ ...code, grant, refreshLifetime: 100 }),
      grants.redeemCode(redemptionOf({ ...code, grant })),
      ...[anId(), text].flatMap((id) => [
        grants.readCode(id),
        grants.readFamily(id),
        grants.end(id, 'revoked'),
      ]),
      grants.refresh({
        grantId: grant.id,
        generation: 0,
        tokenHash: aHash(),
        lineage: aHash(),
        next: aToken(text),
        nonce: anId(),
        clientId: text,
        policy: ROTATE,
        grace: 10,
        obtainable: EVERYTHING,
      }),
      ...[{ subject: text }, { clientId: text }, { idpSession: grant.idpSession }].map((owner) =>
        grants.listFamilies(owner),
      ),
      clients.create({ id: text } as Client),
      clients.read(text),
      clients.replace({ id: text } as Client, text, T, T),
      clients.renew(text, T),
      clients.delete(text, T),
      clients.list({}),
      requests.save(sha256(text), {} as PendingRequest, T),
      requests.read(sha256(text)),
      requests.take(sha256(text)),
      consents.remember(text, text, new Map(), T),
      consents.read(text, text),
      consents.forget(text, text),
      consents.forgetSubject(text),
      replays.claim(sha256(text), T),
      revocations.append({ kind: 'jti', id: text, until: T }),
      revocations.since({ revision: 1, tip: text }),
      ring.read(),
      ring.compareAndSet({ revision: 0, tip: '' }, { issuer: text, keys: [] }),
      counters.count(sha256(text), 60),
      counters.take(sha256(text), 60, 1),
      counters.giveBack(sha256(text), T),
      initialAccessTokens.create({
        id: anId(),
        hash: aHash(),
        policy: text,
        label: text,
        uses: 1,
        createdAt: T,
        expiresAt: T + 100,
      }),
      ...[anId(), text].flatMap((id) => [
        initialAccessTokens.read(id),
        initialAccessTokens.take(id, anId()),
        initialAccessTokens.take(anId(), id),
        initialAccessTokens.giveBack(id, anId()),
        initialAccessTokens.revoke(id),
      ]),
      initialAccessTokens.list({}),
      places.take(sha256(text), sha256(text), T, 1),
      places.leave(sha256(text), sha256(text)),
      places.leave(sha256(text), sha256(text), T),
      ...[anId(), text].flatMap((home) => [
        accessTokens.save({ home, hash: tokenHash(text) }, text, T),
        accessTokens.read({ home, hash: tokenHash(text) }),
        accessTokens.delete({ home, hash: tokenHash(text) }),
      ]),
      accessTokens.use(tokenHash(text), 1, T),
      accessTokens.uses(tokenHash(text)),
      documents.save(sha256(text), { body: { text }, fetchedAt: T, freshUntil: T }, T),
      documents.read(sha256(text)),
      documents.delete(sha256(text)),
      stores.check?.(),
      stores.announce?.({ id: text, settings: sha256(text) }),
    ])
  }
  // What an ended grant leaves in lists is taken out of them behind the answer.
  await new Promise((resolve) => setImmediate(resolve))
  await stores.close?.()
  return calls
}
