"""What happens at call time: facts are gathered, the policy is asked, its answer performed."""
