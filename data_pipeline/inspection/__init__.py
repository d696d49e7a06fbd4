"""Looking at prepared data, without training on it: what is in a folder, what changed between two, is it whole.

    manifest + rows + quarantine --summary-----> DataSummary   numbers, and checks that they add up (pure)
                   PreparedData --samples------> list[Sample]  texts, ranks, lengths, small pictures
                  DataSummary, samples --page--> data.html     one self-contained page
      manifest + rows, two of them --diff------> DataDiff      what changed, in words and numbers (pure)
                        manifest --verify------> list[BadFile] every file against its checksum

A *place* is a folder, its ``manifest.json``, or one of its ``manifests/<address>.json`` (`places`).
"""
