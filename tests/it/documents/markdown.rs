//! As much of Markdown as the documents use: fenced blocks, code spans, links, headings, table rows.

/// A fenced block: the word behind the fence, and its lines.
#[derive(Debug, PartialEq)]
pub(super) struct Block {
    pub(super) language: String,
    pub(super) text: String,
}

/// A document, taken apart.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) blocks: Vec<Block>,
    /// The text without its blocks, line by line.
    pub(super) prose: Vec<String>,
}

impl Document {
    pub(super) fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut open: Option<(usize, Block)> = None;
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    open = Some((indent, Block { language: language.trim().to_owned(), text: String::new() }));
                }
                (Some(_), Some(_)) => document.blocks.extend(open.take().map(|(_, block)| block)),
                // A block inside a list is as far in as its fence.
                (Some((fence, block)), None) => {
                    block.text += line.get((*fence).min(indent)..).unwrap_or_default();
                    block.text += "\n";
                }
                (None, None) => document.prose.push(line.to_owned()),
            }
        }
        assert!(open.is_none(), "a fenced block is not closed");
        document
    }

    /// The code spans, those that go over a line's end too.
    pub(super) fn spans(&self) -> Vec<String> {
        // Between paragraphs and rows no span goes on.
        let mut paragraphs = vec![String::new()];
        for line in &self.prose {
            let starts_anew = line.trim().is_empty() || line.trim_start().starts_with(['|', '-', '#']);
            if starts_anew {
                paragraphs.push(String::new());
            }
            if let Some(last) = paragraphs.last_mut() {
                *last += line.trim();
                *last += " ";
            }
        }
        let spans = |text: &String| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        paragraphs.iter().flat_map(spans).collect()
    }

    /// Where links lead.
    pub(super) fn links(&self) -> Vec<String> {
        let targets = |line: &String| {
            let after = line.split("](").skip(1);
            after.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect::<Vec<_>>()
        };
        self.prose.iter().flat_map(targets).collect()
    }

    /// The anchors that its headings have on a forge: lower case, spaces to hyphens, other signs left out.
    pub(super) fn anchors(&self) -> Vec<String> {
        let heading = |line: &String| {
            let text = line.trim_start_matches('#');
            (text.len() < line.len() && text.starts_with(' ')).then(|| {
                let kept = text.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
            })
        };
        self.prose.iter().filter_map(heading).collect()
    }

    /// The cells of its tables' rows, without heads' rules.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let cells = |line: &String| {
            let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
            let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
            (!cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':')) && !cell.is_empty())).then_some(cells)
        };
        self.prose.iter().filter_map(cells).collect()
    }
}

/// What a cell has in its one code span.
pub(super) fn coded(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`').filter(|inner| !inner.contains('`'))
}

#[test]
fn a_document_is_taken_apart() {
    let text = "# A *b* (c) `d`\n\n1. one\n\n   ```sh\n   springhead serve\n     --config x\n   ```\n\ntwo `spans\nhere` and `there`, [a](b.md#c).\n\
                \n| k | v |\n| --- | --- |\n| `x` | y |\n";
    let document = Document::parse(text);
    let block = Block { language: "sh".to_owned(), text: "springhead serve\n  --config x\n".to_owned() };
    assert_eq!(document.blocks, [block]);
    assert_eq!(document.spans(), ["d", "spans here", "there", "x"]);
    assert_eq!(document.links(), ["b.md#c"]);
    assert_eq!(document.anchors(), ["a-b-c-d"]);
    assert_eq!(document.rows(), [["k", "v"], ["`x`", "y"]]);
    assert_eq!((coded("`x`"), coded("x"), coded("`x` or `y`")), (Some("x"), None, None));
}
