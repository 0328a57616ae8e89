//! Carries out transfers between accounts: takes the money, and brings it to the other account, or
//! back if that one does not take it.

use gavel::{JsonSchema, Order, Recorded, Workflow, WorkflowStep};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "transfer")]
pub enum TransferEvent {
    TransferRequested {
        from: String,
        to: String,
        amount: u64,
    },
}

#[derive(Serialize, gavel::Target)]
#[target(decider = "account")]
pub enum AccountCommand {
    Deposit { amount: u64 },
    Withdraw { amount: u64 },
}

#[derive(Serialize, gavel::Target)]
#[target(decider = "transfer")]
pub enum TransferCommand {
    CompleteTransfer {},
    FailTransfer {},
}

/// The transfer that was requested, or none.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct MaybeTransfer(Option<Transfer>);

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    id: String,
    from: String,
    to: String,
    amount: u64,
}

#[gavel::process(name = "transfers", key = stream_id, sends(AccountCommand, TransferCommand))]
impl Workflow for MaybeTransfer {
    type Event = TransferEvent;

    fn evolve(&mut self, event: &Recorded<TransferEvent>) {
        let TransferEvent::TransferRequested { from, to, amount } = &event.event;
        self.0 = Some(Transfer {
            id: event.stream_id.clone(),
            from: from.clone(),
            to: to.clone(),
            amount: *amount,
        });
    }

    fn steps(&self) -> Vec<WorkflowStep> {
        let Some(Transfer {
            id,
            from,
            to,
            amount,
        }) = &self.0
        else {
            return vec![];
        };
        let amount = *amount;
        let deposit = |account| Order::new(account, &AccountCommand::Deposit { amount });
        let withdraw = |account| Order::new(account, &AccountCommand::Withdraw { amount });
        vec![
            // What is undone last says that the transfer has failed.
            WorkflowStep::until("begin", true)
                .undone_by(Order::new(id, &TransferCommand::FailTransfer {})),
            WorkflowStep::send("withdraw", withdraw(from)).undone_by(deposit(from)),
            WorkflowStep::send("deposit", deposit(to)).undone_by(withdraw(to)),
            WorkflowStep::send(
                "complete",
                Order::new(id, &TransferCommand::CompleteTransfer {}),
            ),
        ]
    }
}
