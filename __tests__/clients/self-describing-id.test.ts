import { describe, expect, test } from '@jest/globals'
import type { ClientDraft } from '../../lib/clients/client-metadata.ts'
import { createSelfDescribingIds } from '../../lib/clients/self-describing-id.ts'
import { deriveKeys } from '../../lib/protocol/derived-keys.ts'
import { sha256, tokenHash } from '../../lib/protocol/digest.ts'
import { systemRandom } from '../../lib/protocol/random.ts'
import { isRegisteredId } from '../../lib/stores/client-description.ts'

const ISSUER = 'https://as.example'
const [OLD, NEW] = [deriveKeys('o'.repeat(32)), deriveKeys('n'.repeat(32))]
const idsOf = (keys: Parameters<typeof createSelfDescribingIds>[0], issuer = ISSUER, longest = 768) =>
  createSelfDescribingIds(keys, issuer, systemRandom, longest)
const ids = idsOf([NEW, OLD])
const T = 1_800_000_000
const YEAR = 365 * 86_400

const DRAFT: ClientDraft = {
  name: 'Ünïcode — «client» 名',
  applicationType: 'native',
  redirectUris: ['http://127.0.0.1:33418/callback', 'https://app.example/cb?x=y'],
  grantTypes: ['authorization_code', 'refresh_token'],
  authenticationMethod: 'client_secret_basic',
  policy: 'partners',
  defaultScope: ['a', 'b'],
}

const USUAL: ClientDraft = {
  applicationType: 'native',
  redirectUris: [],
  grantTypes: ['authorization_code', 'refresh_token'],
  authenticationMethod: 'none',
}

function issued(draft = DRAFT, end?: number) {
  const one = ids.issue(draft, T + 0.7, end)
  if (one === undefined) throw new Error('it does not fit')
  return one
}
const flip = (id: string, at: number) => {
  const bytes = Buffer.from(id.slice(4), 'base64url')
  bytes[at] = (bytes[at] as number) ^ 1
  return `dcr_${bytes.toString('base64url')}`
}

describe('an id that describes its client', () => {
  test('says all of it, and nothing else is needed', () => {
    const { id, secret, registrationToken } = issued(DRAFT, T + 500)
    expect(id).toMatch(/^dcr_[A-Za-z0-9_-]+$/)
    expect(ids.read(id)).toEqual({
      client: {
        ...DRAFT,
        id,
        origin: 'registered',
        createdAt: T,
        secrets: [{ hash: sha256(secret as string), expiresAt: T + 500 }],
        registrationTokens: [{ hash: tokenHash(registrationToken) }],
      },
      endsAt: T + 2 * YEAR,
    })
  })

  test('is as long as access tokens have room for, and not longer', () => {
    const { length } = issued().id
    expect(idsOf([NEW], ISSUER, length).issue(DRAFT, T, undefined)?.id).toHaveLength(length)
    expect(idsOf([NEW], ISSUER, length - 1).issue(DRAFT, T, undefined)).toBeUndefined()
    expect(idsOf([NEW], ISSUER, length - 1).read(issued().id)?.client.name).toBe(DRAFT.name)
  })

  test.each([undefined, T + 3600])('issues the client that its id says, secret until %s', (end) => {
    const { id, client } = issued(DRAFT, end)
    expect(client).toStrictEqual(idsOf([NEW]).read(id)?.client)
  })

  test('is short for a usual client, and has neither secret nor token in it', () => {
    const { id, secret, registrationToken } = issued({
      ...USUAL,
      name: 'Claude Code',
      redirectUris: ['http://localhost:54545/callback'],
    })
    expect(secret).toBeUndefined()
    expect(id.length).toBeLessThan(150)
    const confidential = issued()
    const seen = Buffer.from(confidential.id.slice(4), 'base64url').toString('latin1')
    for (const hidden of [confidential.secret as string, registrationToken]) {
      expect(seen).not.toContain(hidden)
      expect(seen).not.toContain(Buffer.from(hidden, 'base64url').toString('latin1'))
      expect(seen).not.toContain(sha256(hidden).slice(0, 16))
    }
  })

  test('two of equal clients in one second have different ids, secrets and tokens', () => {
    const many = Array.from({ length: 200 }, () => issued())
    for (const key of ['id', 'secret', 'registrationToken'] as const)
      expect(new Set(many.map((one) => one[key])).size).toBe(200)
  })

  test('of a description that is too long there is none, and none is longer than 768 characters', () => {
    let longest = 0
    for (let length = 0; length < 800; length++) {
      const redirectUris = [`https://a.example/${'x'.repeat(length)}`]
      const one = ids.issue({ ...USUAL, redirectUris }, T, undefined)
      if (one !== undefined) longest = Math.max(longest, one.id.length)
      else expect(length).toBeGreaterThan(450)
    }
    expect(longest).toBeLessThanOrEqual(768)
    expect(longest).toBeGreaterThan(760)
  })
})

describe('nobody else makes one', () => {
  test('each byte counts', () => {
    const { id } = issued()
    const size = Buffer.from(id.slice(4), 'base64url').length
    for (let at = 0; at < size; at++) expect([at, ids.read(flip(id, at))]).toEqual([at, undefined])
  })

  test.each([0, 1, 5, 21, 40])('cut short by %i characters and one, or longer', (cut) => {
    const { id } = issued()
    expect(ids.read(id.slice(0, id.length - 1 - cut))).toBeUndefined()
    expect(ids.read(`${id}${'A'.repeat(cut + 1)}`)).toBeUndefined()
    expect(ids.read(id.slice(0, 4) + id.slice(5 + cut))).toBeUndefined()
  })

  test('of one id the description, of another the tag', () => {
    const [one, other] = [issued(), issued({ ...DRAFT, redirectUris: ['https://evil.example/cb'] })]
    const bytes = [one, other].map(({ id }) => Buffer.from(id.slice(4), 'base64url')) as [Buffer, Buffer]
    const swapped = Buffer.concat([bytes[1].subarray(0, -16), bytes[0].subarray(-16)])
    expect(ids.read(`dcr_${swapped.toString('base64url')}`)).toBeUndefined()
  })

  test('another issuer with the same secrets, or the same issuer with others', () => {
    const { id } = issued()
    expect(idsOf([NEW], `${ISSUER}/other`).read(id)).toBeUndefined()
    expect(idsOf([deriveKeys('x'.repeat(32))]).read(id)).toBeUndefined()
  })

  test('one text each: other spellings of the same bytes are nobody', () => {
    for (let round = 0; round < 50; round++) {
      const { id } = issued({ ...USUAL, name: 'x'.repeat(round % 3) })
      const last = id.at(-1) as string
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      for (const other of alphabet)
        if (other !== last) expect(ids.read(id.slice(0, -1) + other)).toBeUndefined()
      expect(ids.read(`${id}=`)).toBeUndefined()
      expect(ids.read(` ${id}`)).toBeUndefined()
      expect(ids.read(`${id}\n`)).toBeUndefined()
    }
  })

  test.each([
    '',
    'dcr_',
    `dcr_${'A'.repeat(764)}`,
    `dcr_${'A'.repeat(100_000)}`,
    `DCR_${'A'.repeat(60)}`,
    'dcr_💥',
  ])('junk is nobody: %#', (text) => {
    expect(ids.read(text)).toBeUndefined()
    expect(ids.markedUntil(text)).toBeUndefined()
    expect(isRegisteredId(text) && text.length > 768).toBe(false)
  })
})

describe('the secrets of the server rotate', () => {
  test('any of them vouches, the newest seals; what the client was given stays what it was', () => {
    const before = idsOf([OLD]).issue(DRAFT, T, undefined) as { id: string; secret: string }
    const known = ids.read(before.id)?.client
    expect(known?.secrets).toEqual([{ hash: sha256(before.secret) }])
    const after = issued()
    expect(idsOf([OLD]).read(after.id)).toBeUndefined()
    expect(idsOf([NEW]).read(after.id)).toBeDefined()
  })

  test('without the one that sealed it, an id says nothing, and until when it may be believed elsewhere is known', () => {
    const { id } = idsOf([OLD]).issue(DRAFT, T, undefined) as { id: string }
    expect(idsOf([NEW]).read(id)).toBeUndefined()
    expect(idsOf([NEW]).markedUntil(id)).toBeGreaterThan(T + 2 * YEAR)
  })
})
