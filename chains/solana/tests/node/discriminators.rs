//! Memos and Solana Pay references: what tells payments to one owner apart.

use confirmd_chain::Chain;
use solana_instruction::Instruction;
use solana_keypair::Signer;
use solana_pubkey::Pubkey;
use xtask::surfpool::{MemoProgram, memo, referring};

use crate::support::{Node, PRICE};

const PAYMENT: &str = "wihngo:6f0c8a52-31c4-4d8e-9a53-1f0de1c9b7aa";

/// What the only payment to a new owner carries.
async fn carried(
    node: &Node,
    instructions: impl FnOnce(Instruction) -> Vec<Instruction>,
) -> (Option<String>, Vec<String>) {
    let shop = Pubkey::new_unique();
    let pay = node.usdc.transferring(&node.buyer.pubkey(), &shop, PRICE);
    let mut all = vec![node.usdc.opening(&shop)];
    all.extend(instructions(pay));
    node.surfpool.send(&all, &[&node.buyer]).await.unwrap();
    node.mine().await;
    let transfers = node.transfers(&node.watching(&[shop], true)).await;
    assert_eq!(transfers.len(), 1, "{transfers:?}");
    let plain = node.transfers(&node.watching(&[shop], false)).await;
    assert_eq!(plain[0].id, transfers[0].id);
    (transfers[0].memo.clone(), transfers[0].references.clone())
}

#[tokio::test]
async fn a_memo_of_either_version_is_read_before_and_after_the_transfer() {
    let node = Node::start().await;
    let wanted = node.chain.parse_memo(PAYMENT).unwrap();
    for program in [MemoProgram::V1, MemoProgram::V2] {
        let said = || memo(program, PAYMENT);
        for before in [true, false] {
            let (first, references) = carried(&node, |pay| match before {
                true => vec![said(), pay],
                false => vec![pay, said()],
            })
            .await;
            assert_eq!(first.as_deref(), Some(PAYMENT), "{program:?}, before: {before}");
            assert!(references.contains(&wanted), "{program:?}, before: {before}");
        }
    }
}

#[tokio::test]
async fn one_memo_is_carried_by_every_transfer_of_its_transaction() {
    let node = Node::start().await;
    let shops = [Pubkey::new_unique(), Pubkey::new_unique()];
    let buyer = node.buyer.pubkey();
    let pays = shops.map(|shop| node.usdc.transferring(&buyer, &shop, PRICE));
    let opens = shops.map(|shop| node.usdc.opening(&shop));
    let all = [&opens[..], &pays[..], &[memo(MemoProgram::V2, PAYMENT)]].concat();
    node.surfpool.send(&all, &[&node.buyer]).await.unwrap();
    node.mine().await;
    let transfers = node.transfers(&node.watching(&shops, true)).await;
    assert_eq!(transfers.len(), 2);
    for transfer in transfers {
        assert_eq!(transfer.memo.as_deref(), Some(PAYMENT));
    }
}

#[tokio::test]
async fn a_solana_pay_reference_is_found_among_the_accounts() {
    let node = Node::start().await;
    let (reference, other) = (Pubkey::new_unique(), Pubkey::new_unique());
    let (said, references) = carried(&node, |pay| vec![referring(pay, &[other, reference])]).await;
    assert_eq!(said, None);
    for key in [reference, other] {
        let wanted = node.chain.parse_reference(&key.to_string(), &node.usdc()).unwrap();
        assert!(references.contains(&wanted), "{references:?}");
    }
    let nobody = Pubkey::new_unique().to_string();
    let nobody = node.chain.parse_reference(&nobody, &node.usdc()).unwrap();
    assert!(!references.contains(&nobody));
}
