import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { Consent, ConsentStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { type StoresFactory, T } from './contract.ts'

/** What any store of remembered consents must do. */
export function consentStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let consents: ConsentStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    consents = made.stores.consents
    close = made.close
  })
  afterEach(() => close())

  async function remembered(subject = 'alice', clientId = 'client') {
    const consent = await consents.read(subject, clientId)
    return (
      consent && Object.fromEntries([...consent].map(([resource, scope]) => [resource, [...scope].sort()]))
    )
  }

  test('remembered for this subject and this client', async () => {
    await consents.remember('alice', 'client', allowed({ r: ['a'] }), T + 100)
    expect(await remembered()).toEqual({ r: ['a'] })
    expect(await remembered('bob')).toBeUndefined()
    expect(await remembered('alice', 'another')).toBeUndefined()
  })

  test('remembering adds, resource by resource, and prolongs', async () => {
    await consents.remember('alice', 'client', allowed({ r: ['a', 'b'] }), T + 100)
    await consents.remember('alice', 'client', allowed({ s: ['b', 'c'] }), T + 200)
    clock.now = T + 199
    expect(await remembered()).toEqual({ r: ['a', 'b'], s: ['b', 'c'] })
    clock.now = T + 200
    expect(await remembered()).toBeUndefined()
  })

  test('what is over is not added to', async () => {
    await consents.remember('alice', 'client', allowed({ r: ['a'] }), T + 100)
    clock.now = T + 100
    await consents.remember('alice', 'client', allowed({ r: ['b'] }), T + 200)
    expect(await remembered()).toEqual({ r: ['b'] })
  })

  test('forgotten', async () => {
    await consents.remember('alice', 'client', allowed({ r: ['a'] }), T + 100)
    await consents.remember('alice', 'another', allowed({ r: ['a'] }), T + 100)
    await consents.forget('alice', 'client')
    await consents.forget('alice', 'client')
    expect(await remembered()).toBeUndefined()
    expect(await remembered('alice', 'another')).toBeDefined()
  })

  test('all of a subject forgotten at once, and nobody else', async () => {
    await consents.remember('alice', 'client', allowed({ r: ['a'] }), T + 100)
    await consents.remember('alice', 'another', allowed({ r: ['a'] }), T + 100)
    await consents.remember('bob', 'client', allowed({ r: ['a'] }), T + 100)
    await consents.forgetSubject('alice')
    expect(await remembered()).toBeUndefined()
    expect(await remembered('alice', 'another')).toBeUndefined()
    expect(await remembered('bob')).toBeDefined()
  })

  test.each([
    ['a:b', 'c', 'a', 'b:c'],
    ['a","b', 'c', 'a', 'b","c'],
    ['a', 'b\u0000c', 'a\u0000b', 'c'],
    ['a}', '{b', 'a', '}{b'],
  ])('pairs whose texts run together stay apart: %j and %j, %j and %j', async (one, two, three, four) => {
    await consents.remember(one, two, allowed({ r: ['a'] }), T + 100)
    expect(await remembered(one, two)).toBeDefined()
    expect(await remembered(three, four)).toBeUndefined()
  })
}

function allowed(scopes: Record<string, string[]>): Consent {
  return new Map(Object.entries(scopes).map(([resource, scope]) => [resource, new Set(scope)]))
}
