/* Search from disk: browsers start no Worker from a file, so a hidden frame runs the worker's script instead.
 * The interface is that of a Worker, as far as the theme's search uses it. */
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      this.ready = new Promise((resolve) => {
        const start = () => {
          document.body.append(frame)
          const scope = frame.contentWindow
          scope.postMessage = (data) => this.emit(data)
          scope.importScripts = (...sources) =>
            Promise.all(sources.map((source) => this.load(frame, new URL(source, url))))
          this.load(frame, url).then(() => resolve(scope))
        }
        document.body ? start() : addEventListener("DOMContentLoaded", start)
      })
    }

    load(frame, source) {
      return new Promise((resolve, reject) => {
        const script = frame.contentDocument.createElement("script")
        script.src = source
        script.onload = resolve
        script.onerror = reject
        frame.contentDocument.body.append(script)
      })
    }

    emit(data) {
      const event = new MessageEvent("message", { data })
      this.dispatchEvent(event)
      this.onmessage?.(event)
    }

    postMessage(data) {
      this.ready.then((scope) => {
        const event = new scope.MessageEvent("message", { data: structuredClone(data) })
        scope.dispatchEvent(event)
        scope.onmessage?.(event)
      })
    }

    terminate() {}
  }
  window.Worker = window.IFrameWorker
}
