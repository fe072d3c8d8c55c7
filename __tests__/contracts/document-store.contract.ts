import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { DocumentStore, KeptDocument } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { aHash, type StoresFactory, T } from './contract.ts'

function aDocument(over: Partial<KeptDocument> = {}): KeptDocument {
  return {
    body: {
      client_name: 'a name with "quotes", ünïcode, a \\ and\na line',
      redirect_uris: ['https://a.example/cb'],
    },
    fetchedAt: T - 0.25,
    freshUntil: T + 300,
    ...over,
  }
}

/** What any store of fetched documents must do. */
export function documentStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let documents: DocumentStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    documents = made.stores.documents
    close = made.close
  })
  afterEach(() => close())

  test('read as it was saved, any number of times', async () => {
    const [url, document] = [aHash(), aDocument()]
    expect(await documents.save(url, document, T + 600)).toBe('saved')
    expect(await documents.read(url)).toStrictEqual(document)
    expect(await documents.read(url)).toStrictEqual(document)
    expect(await documents.read(aHash())).toBeUndefined()
  })

  test('there while now < its end, and not after', async () => {
    const url = aHash()
    await documents.save(url, aDocument(), T + 600)
    clock.now = T + 599.999
    expect(await documents.read(url)).toBeDefined()
    clock.now = T + 600
    expect(await documents.read(url)).toBeUndefined()
  })

  test('one whose end has come is not kept', async () => {
    const url = aHash()
    await documents.save(url, aDocument(), T)
    expect(await documents.read(url)).toBeUndefined()
  })

  test('the one that was fetched last stays, in whatever order they come', async () => {
    const url = aHash()
    const [first, second] = [aDocument({ body: { v: 1 } }), aDocument({ body: { v: 2 }, fetchedAt: T + 10 })]
    expect(await documents.save(url, second, T + 600)).toBe('saved')
    expect(await documents.save(url, first, T + 900)).toBe('older')
    expect((await documents.read(url))?.body).toEqual({ v: 2 })
    expect(await documents.save(url, aDocument({ body: { v: 3 }, fetchedAt: T + 10 }), T + 600)).toBe('saved')
    expect((await documents.read(url))?.body).toEqual({ v: 3 })
    clock.now = T + 600
    expect(await documents.save(url, first, T + 900)).toBe('saved')
    expect((await documents.read(url))?.body).toEqual({ v: 1 })
  })

  test('gone when it is deleted, and there again when it is saved', async () => {
    const [url, document] = [aHash(), aDocument()]
    await documents.save(url, document, T + 600)
    await documents.delete(url)
    expect(await documents.read(url)).toBeUndefined()
    await documents.delete(url)
    expect(await documents.save(url, document, T + 600)).toBe('saved')
    expect(await documents.read(url)).toStrictEqual(document)
  })

  test('the largest: 64 KiB', async () => {
    const [url, document] = [aHash(), aDocument({ body: { a: 'x'.repeat(64 * 1024) } })]
    await documents.save(url, document, T + 600)
    expect(await documents.read(url)).toStrictEqual(document)
  })
}
