import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { FamilyQuery, GrantStore, RefreshPolicy, Stores } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { aCode, anId, openFamily, RESET, ROTATE, type StoresFactory, T } from './contract.ts'

/** What the lists of any store of grants must do. */
export function familyListContract(make: StoresFactory): void {
  let clock: ManualClock
  let stores: Stores
  let grants: GrantStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    ;({ stores, close } = await make(clock))
    grants = stores.grants
  })
  afterEach(() => close())

  const open = (policy: RefreshPolicy = ROTATE, over = {}) => openFamily(stores, policy, over, clock.now + 60)

  async function idsOf(query: FamilyQuery): Promise<string[]> {
    const { families } = await grants.listFamilies(query)
    return families.map(({ grant }) => grant.id)
  }

  /** `count` families, opened a second after the other. */
  async function openMany(count: number, over = {}): Promise<string[]> {
    const ids: string[] = []
    for (let index = 0; index < count; index++) {
      clock.advance(1)
      ids.push((await open({ ...ROTATE, lifetime: 10_000 }, over)).grant.id)
    }
    return ids
  }

  test('by subject and by client, oldest first, as readFamily shows them', async () => {
    const alices = await openMany(3)
    const bobs = await openMany(2, { subject: 'bob' })
    const others = await openMany(1, { clientId: 'another' })
    expect(await idsOf({ subject: 'alice' })).toEqual([...alices, ...others])
    expect(await idsOf({ subject: 'bob' })).toEqual(bobs)
    expect(await idsOf({ clientId: 'a-client' })).toEqual([...alices, ...bobs])
    expect(await idsOf({ clientId: 'another' })).toEqual(others)
    expect(await idsOf({ subject: 'carol' })).toEqual([])
    const { families, cursor } = await grants.listFamilies({ subject: 'bob' })
    expect(families[0]).toEqual(await grants.readFamily(bobs[0] as string))
    expect(cursor).toBeUndefined()
  })

  test('by the session at an identity provider, which is its issuer and its id together', async () => {
    const session = { issuer: 'https://idp.example', sid: 'one' }
    const [first] = await openMany(1, { idpSession: session })
    const [bobs] = await openMany(1, { idpSession: session, subject: 'bob', clientId: 'another' })
    await openMany(1, { idpSession: { ...session, sid: 'two' } })
    await openMany(1, { idpSession: { ...session, issuer: 'https://other.example' } })
    await openMany(1, { idpSession: { issuer: 'https://idp.exampleone', sid: '' } })
    await openMany(1)
    expect(await idsOf({ idpSession: session })).toEqual([first, bobs])
    expect(await idsOf({ idpSession: { ...session, sid: 'three' } })).toEqual([])
    const { families } = await grants.listFamilies({ idpSession: session })
    expect(families[0]?.grant.idpSession).toStrictEqual(session)
    await grants.end(first as string, 'revoked')
    expect(await idsOf({ idpSession: session })).toEqual([bobs])
  })

  test.each(['', 'x', 'null', '1', '.', `${T}`, `${T}.`, `${T}.short`, `-1.${anId()}`, `NaN.${anId()}`])(
    'a cursor that no page gave is refused: %j',
    async (cursor) => {
      await openMany(1)
      for (const owner of [{ subject: 'alice' }, { clientId: 'a-client' }])
        await expect(grants.listFamilies({ ...owner, cursor })).rejects.toThrow(TypeError)
    },
  )

  test('a cursor that is no text is refused', async () => {
    for (const cursor of [1, null, {}, [`${T}.${anId()}`]] as never[])
      await expect(grants.listFamilies({ subject: 'alice', cursor })).rejects.toThrow(TypeError)
  })

  test('exactly one owner is named', async () => {
    const idpSession = { issuer: 'https://idp.example', sid: 'one' }
    const wrong = [
      {},
      { limit: 10 },
      { subject: undefined },
      { subject: 'alice', clientId: 'a-client' },
      { subject: 'alice', idpSession },
      { clientId: 'a-client', idpSession },
      { subject: 'alice', clientId: 'a-client', idpSession },
      { grantId: anId() },
      { subject: 'alice', grantId: anId() },
    ] as never[]
    for (const query of wrong) await expect(grants.listFamilies(query)).rejects.toThrow(TypeError)
  })

  test('an owner that is named beside members that are undefined is the one owner', async () => {
    const ids = await openMany(2)
    const query = { subject: undefined, clientId: 'a-client', idpSession: undefined, cursor: undefined }
    expect(await idsOf(query as never)).toEqual(ids)
  })

  test('not what has ended, expired, or is only a code', async () => {
    const [alive, ended] = await openMany(2)
    await grants.issueCode(aCode())
    await grants.end(ended as string, 'revoked')
    expect(await idsOf({ subject: 'alice' })).toEqual([alive])
    clock.advance(10_000)
    expect(await idsOf({ subject: 'alice' })).toEqual([])
  })

  test('in pages: each once, in order, with no cursor on the last', async () => {
    const ids = await openMany(7)
    const pages: string[][] = []
    let cursor: string | undefined
    do {
      const page = await grants.listFamilies({
        subject: 'alice',
        limit: 3,
        ...(cursor !== undefined && { cursor }),
      })
      pages.push(page.families.map(({ grant }) => grant.id))
      cursor = page.cursor
    } while (cursor !== undefined && pages.length < 10)
    expect(pages).toEqual([ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)])
  })

  test('in pages, families of one moment: each once', async () => {
    const ids = new Set<string>()
    for (let index = 0; index < 7; index++) ids.add((await open()).grant.id)
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await grants.listFamilies({
        subject: 'alice',
        limit: 2,
        ...(cursor !== undefined && { cursor }),
      })
      seen.push(...page.families.map(({ grant }) => grant.id))
      cursor = page.cursor
    } while (cursor !== undefined && seen.length < 20)
    expect(seen).toHaveLength(7)
    expect(new Set(seen)).toEqual(ids)
  })

  test('a cursor stays a place when its family ends between two pages', async () => {
    const ids = await openMany(6)
    const first = await grants.listFamilies({ subject: 'alice', limit: 3 })
    expect(first.families.map(({ grant }) => grant.id)).toEqual(ids.slice(0, 3))
    await grants.end(ids[2] as string, 'revoked')
    const second = await grants.listFamilies({
      subject: 'alice',
      limit: 3,
      cursor: first.cursor as string,
    })
    expect(second.families.map(({ grant }) => grant.id)).toEqual(ids.slice(3))
  })

  test('a refresh does not move a family', async () => {
    const first = await open({ ...RESET, lifetime: 10_000 })
    clock.advance(1)
    const second = await open({ ...RESET, lifetime: 10_000 })
    clock.advance(1)
    await grants.refresh(first.refresh(0))
    expect(await idsOf({ subject: 'alice' })).toEqual([first.grant.id, second.grant.id])
  })

  test('100 to a page without a limit, never more than 1,000, at least 1', async () => {
    for (let index = 0; index < 1001; index++) await open()
    expect(await idsOf({ subject: 'alice' })).toHaveLength(100)
    expect(await idsOf({ subject: 'alice', limit: 5000 })).toHaveLength(1000)
    expect(await idsOf({ subject: 'alice', limit: 0 })).toHaveLength(1)
  })
}
