import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { PendingRequest, RequestStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { aHash, type StoresFactory, T } from './contract.ts'

function aRequest(over: Partial<PendingRequest> = {}): PendingRequest {
  return {
    clientId: 'a-client',
    redirectUri: 'https://client.example/cb',
    redirectUriRequired: true,
    codeChallenge: aHash(),
    scope: ['a', 'b'],
    resources: ['https://api.example/one'],
    state: 'a state with "quotes", ünïcode and a \\',
    prompt: ['consent'],
    maxAge: 0,
    acrValues: [],
    browser: aHash(),
    createdAt: T,
    ...over,
  }
}

/** What any store of pending authorization requests must do. */
export function requestStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let requests: RequestStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    requests = made.stores.requests
    close = made.close
  })
  afterEach(() => close())

  test('read as it was saved, any number of times', async () => {
    const [handle, request] = [aHash(), aRequest()]
    await requests.save(handle, request, T + 600)
    expect(await requests.read(handle)).toStrictEqual(request)
    expect(await requests.read(handle)).toStrictEqual(request)
  })

  test('taken once', async () => {
    const [handle, request] = [aHash(), aRequest()]
    await requests.save(handle, request, T + 600)
    expect(await requests.take(handle)).toStrictEqual(request)
    expect(await requests.take(handle)).toBeUndefined()
    expect(await requests.read(handle)).toBeUndefined()
  })

  test('of any number of takers one gets it', async () => {
    const handle = aHash()
    await requests.save(handle, aRequest(), T + 600)
    const taken = await Promise.all(Array.from({ length: 50 }, () => requests.take(handle)))
    expect(taken.filter((request) => request !== undefined)).toHaveLength(1)
  })

  test('there while now < expiresAt', async () => {
    const [first, second] = [aHash(), aHash()]
    await requests.save(first, aRequest(), T + 600)
    await requests.save(second, aRequest(), T + 600)
    clock.now = T + 599.5
    expect(await requests.take(first)).toBeDefined()
    clock.now = T + 600
    expect(await requests.read(second)).toBeUndefined()
    expect(await requests.take(second)).toBeUndefined()
  })

  test('saved again under the same handle: the later request and time count', async () => {
    const handle = aHash()
    await requests.save(handle, aRequest(), T + 10)
    await requests.save(handle, aRequest({ state: 'later' }), T + 600)
    clock.now = T + 20
    expect((await requests.read(handle))?.state).toBe('later')
  })

  test('an unknown handle is undefined', async () => {
    expect(await requests.read(aHash())).toBeUndefined()
    expect(await requests.take(aHash())).toBeUndefined()
  })
}
