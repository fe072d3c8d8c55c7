import express from 'express'
import { describeMount } from './smoke.ts'

describeMount('behind json and extended urlencoded', {
  before: (app) => app.use(express.json(), express.urlencoded({ extended: true })),
})
describeMount('behind json and simple urlencoded', {
  before: (app) => app.use(express.json(), express.urlencoded({ extended: false })),
})
describeMount('behind text for everything', {
  before: (app) => app.use(express.text({ type: '*/*' })),
})
describeMount('behind raw for everything', {
  before: (app) => app.use(express.raw({ type: '*/*' })),
})
