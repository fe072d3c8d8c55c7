import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { InitialAccessToken, InitialAccessTokenStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { aHash, anId, type StoresFactory, T } from './contract.ts'

function aToken(over: Partial<InitialAccessToken> = {}): InitialAccessToken {
  return { id: anId(), hash: aHash(), policy: 'partners', uses: 1, createdAt: T, expiresAt: T + 100, ...over }
}

/** What any store of initial access tokens must do. */
export function initialAccessTokenStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let tokens: InitialAccessTokenStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    tokens = made.stores.initialAccessTokens
    close = made.close
  })
  afterEach(() => close())

  test('a token is read as it was created, absent members absent', async () => {
    for (const token of [aToken(), aToken({ label: 'Пример "x" {y}', uses: 5 })]) {
      expect(await tokens.create(token)).toBe('created')
      expect(await tokens.read(token.id)).toStrictEqual({ ...token, used: 0 })
    }
    for (const id of [anId(), '', 'x', '{x}', 'x'.repeat(10_000)]) {
      expect(await tokens.read(id)).toBeUndefined()
      expect([
        await tokens.take(id, anId()),
        await tokens.giveBack(id, anId()),
        await tokens.revoke(id),
      ]).toEqual(['unknown', 'unknown', 'unknown'])
    }
  })

  test('DCR-046: of any number of takers as many succeed as there are uses', async () => {
    for (const uses of [1, 7]) {
      const token = aToken({ uses })
      await tokens.create(token)
      const outcomes = await Promise.all(Array.from({ length: 100 }, () => tokens.take(token.id, anId())))
      expect(outcomes.filter((outcome) => outcome === 'taken')).toHaveLength(uses)
      expect(outcomes.filter((outcome) => outcome === 'spent')).toHaveLength(100 - uses)
      expect((await tokens.read(token.id))?.used).toBe(uses)
    }
  })

  test('what was taken can be given back once, and by nobody else', async () => {
    const token = aToken({ uses: 2 })
    await tokens.create(token)
    const [one, two] = [anId(), anId()]
    await tokens.take(token.id, one)
    await tokens.take(token.id, two)
    expect(await tokens.giveBack(token.id, anId())).toBe('unknown')
    expect(await tokens.take(token.id, anId())).toBe('spent')
    expect(await tokens.giveBack(token.id, one)).toBe('returned')
    await tokens.giveBack(token.id, one)
    expect((await tokens.read(token.id))?.used).toBe(1)
    expect(await tokens.take(token.id, anId())).toBe('taken')
    expect(await tokens.take(token.id, anId())).toBe('spent')
    clock.advance(60)
    // A minute later it stays taken. (Redis counts that minute by its own clock.)
    expect((await tokens.read(token.id))?.used).toBe(2)
  })

  test('valid until its end and not at it', async () => {
    const token = aToken({ uses: 3 })
    await tokens.create(token)
    clock.now = token.expiresAt - 0.5
    expect(await tokens.take(token.id, anId())).toBe('taken')
    clock.now = token.expiresAt
    expect(await tokens.read(token.id)).toBeUndefined()
    expect(await tokens.take(token.id, anId())).toBe('unknown')
    expect((await tokens.list({})).tokens).toEqual([])
  })

  test('revoked once, and gone', async () => {
    const [token, other] = [aToken(), aToken()]
    await tokens.create(token)
    await tokens.create(other)
    expect(await tokens.revoke(token.id)).toBe('revoked')
    expect(await tokens.revoke(token.id)).toBe('unknown')
    expect(await tokens.read(token.id)).toBeUndefined()
    expect(await tokens.take(token.id, anId())).toBe('unknown')
    expect((await tokens.list({})).tokens.map(({ id }) => id)).toEqual([other.id])
  })

  test('listed in pages, those first that end first', async () => {
    const made = Array.from({ length: 7 }, (_, index) =>
      aToken({ expiresAt: T + 100 + Math.floor(index / 2) }),
    )
    for (const token of [...made].reverse()) await tokens.create(token)
    await tokens.take(made[0]?.id ?? '', anId())
    const found: string[] = []
    let cursor: string | undefined
    let pages = 0
    do {
      const page = await tokens.list({ limit: 3, cursor })
      found.push(...page.tokens.map(({ id }) => id))
      cursor = page.cursor
      pages++
    } while (cursor !== undefined)
    expect(pages).toBe(3)
    const expected = [...made].sort((a, b) => a.expiresAt - b.expiresAt || (a.id < b.id ? -1 : 1))
    expect(found).toEqual(expected.map(({ id }) => id))
    const { tokens: all } = await tokens.list({})
    expect(all.find(({ id }) => id === made[0]?.id)).toStrictEqual({ ...made[0], used: 1 })
    expect((await tokens.list({ limit: 7 })).cursor).toBeUndefined()
    for (const wrong of ['', 'x', '1.', '1.{x}', `${'9'.repeat(17)}.${anId()}`, 1, null, {}])
      await expect(tokens.list({ cursor: wrong as string })).rejects.toThrow(TypeError)
    await expect(tokens.list({ limit: Number.NaN })).rejects.toThrow(TypeError)
  })
}
