"""Reports on prepared data: what is in a folder, what changed between two, and whether all files are intact.

    folder or manifest --places-----> Place            a folder, or one manifest of it
    manifest, rows, quarantine
                       --summary----> DataSummary      numbers, and checks that they add up (pure)
    PreparedData       --samples----> list[Sample]     texts, ranks, lengths, small pictures
    two manifests and their rows
                       --diff-------> DataDiff         what changed, in words and numbers (pure)
    manifest           --verify-----> CheckedFile      every file against its checksum

Beside them: `quarantine` (refused items, read and counted, and a sentence about each reason) and
`histogram` (the distributions of a summary).
`jobs.pages.data_page` writes summary and samples as one page.
"""
